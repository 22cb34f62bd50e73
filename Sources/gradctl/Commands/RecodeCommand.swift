// Storing a layer in another codec.

import ArgumentParser
import GradDB

struct RecodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recode", abstract: "Store a layer in another codec, as one new snapshot.",
        discussion: """
            All rows of the layer, at all checkpoints, are decoded from its finest codec and encoded \
            again. The new codec takes the place of the others, or with --beside stands next to \
            them. Older snapshots keep theirs. Where the layer has the codec already, the others \
            are removed.

            Examples:
              gradctl recode alpaca --codec bit --beside
              gradctl recode tokens --layer mlp --codec int4 --tag small
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: "The layer (may be left out when the table has one).") var layer: String?

    @Option(help: "The codec: f32, f16, bf16, int8, int4 or bit.") var codec: String

    @Flag(help: "Keep the layer's other codecs.") var beside = false

    @OptionGroup var snapshot: NewSnapshotOptions

    func run() throws {
        var options = RecodeOptions(layer: layer, codec: try CodecKind(named: codec))
        options.beside = beside
        options.tag = snapshot.tag
        options.message = snapshot.message
        options.threads = globals.threadCount
        let cancellation = Interruption.watch()
        let writer = try DatabaseWriter(path: try globals.databasePath())
        let bar = ProgressBar(total: nil, isShown: !globals.quiet)
        let outcome = Result {
            try writer.recode(table, options: options, cancellation: cancellation) {
                bar.total = $0.totalBytes
                bar.update(rows: $0.rows, bytes: $0.bytes)
            }
        }
        bar.finish()
        let result = try outcome.get()
        if let source = result.source, options.codec < source {
            globals.note(
                "\(codec) is finer than \(source.rawValue), which the rows came from; that brings "
                    + "nothing back of what \(source.rawValue) lost")
        }
        try report(result)
    }

    private func report(_ result: RecodeResult) throws {
        let codecs = result.codecs.map(\.rawValue)
        if globals.json {
            try Console.print(
                JSONObject([
                    ("snapshot", .int(Int64(result.snapshot))), ("table", .string(table)),
                    ("layer", .string(result.layer)), ("codec", .string(codec)),
                    ("codecs", .array(codecs.map { .string($0) })),
                    ("rows", .int(Int64(result.rows))), ("bytes", .int(Int64(result.bytes))),
                    ("seconds", .float(result.seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "snapshot \(result.snapshot): layer \(result.layer) is "
                    + "\(codecs.joined(separator: "+")), \(result.rows.grouped) rows and "
                    + "\(Units.bytes(result.bytes)) stored, in \(Units.seconds(result.seconds))")
        }
    }
}
