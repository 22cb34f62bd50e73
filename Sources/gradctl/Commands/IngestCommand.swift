// Reading gradients into a table.

import ArgumentParser
import GradDB

struct IngestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ingest", abstract: "Read gradients into a table, as one new snapshot.",
        discussion: """
            Inputs are safetensors files (one tensor per layer, [rows, dims], f32, f16 or bf16), \
            .npy files for tables of one layer, directories of such files, or - for a stream of \
            safetensors documents on standard input, each preceded by its length as an unsigned \
            64-bit little-endian integer.

            With --raw they hold raw gradients instead, [rows, ...shape] per tensor of the model, \
            which the layers' projectors make vectors of on the way in (see create --projector).

            Either everything is stored, or nothing. With --rank R/N, N processes (R from 0) write \
            beside each other instead, and `gradctl commit` stores what they have written.

            Examples:
              gradctl ingest alpaca grads.safetensors --checkpoint step-300 \\
                --metadata rows.jsonl
              gradctl ingest alpaca shards/ --checkpoint step-300 --step 300 \\
                --weight 2e-5 --tag v1
              gradctl ingest alpaca part-0/ --checkpoint step-300 --rank 0/8 \\
                --metadata part-0.jsonl
              python3 project.py | gradctl ingest alpaca - --checkpoint step-300 --resume
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Argument(
        help: ArgumentHelp("Files, directories, or - for standard input.", valueName: "input"))
    var inputs: [String]

    @Option(help: "The model checkpoint that the gradients belong to.") var checkpoint: String

    @Option(parsing: .unconditional, help: "The training step of a new checkpoint.") var step:
        Int64?

    @Option(
        parsing: .unconditional,
        help: "The weight of a new checkpoint in sums over checkpoints: its learning rate.")
    var weight: Double?

    @Option(
        help: ArgumentHelp("JSON Lines with id and fields, one line per row.", valueName: "file"))
    var metadata: String?

    @OptionGroup var snapshot: NewSnapshotOptions

    @Flag(help: "The inputs are raw gradients: project them with the layers' projectors.")
    var raw = false

    @Flag(help: "Leave out rows whose id the checkpoint has already.") var resume = false

    @Option(
        help: ArgumentHelp(
            "Write one of several ranks, to be committed together.", valueName: "rank/ranks"))
    var rank: RankOption?

    func validate() throws {
        if let weight, !weight.isFinite {
            throw ValidationError("--weight takes a finite number.")
        }
        guard rank != nil else { return }
        if metadata == nil {
            throw ValidationError("--rank takes --metadata: only ids tell the ranks' rows apart.")
        }
        if !snapshot.isEmpty {
            throw ValidationError("--tag and --message belong to `gradctl commit`.")
        }
    }

    func run() throws {
        if let rank { return try writeRank(rank) }
        let cancellation = Interruption.watch()
        let writer = try DatabaseWriter(path: try globals.databasePath())
        let table = try writer.table(self.table)
        let inputs = try InputSet(
            paths: inputs, npyTensor: table.layers.count == 1 ? table.layers[0].name : nil,
            spoolDirectory: writer.stagingDirectory,
            raw: raw ? try RawInputs(table, cancellation: cancellation) : nil)
        let metadata = try metadata.map { try MetadataReader(path: $0, fields: table.fields) }
        var options = IngestOptions(checkpoint: checkpoint)
        options.step = step
        options.weight = weight
        options.tag = snapshot.tag
        options.message = snapshot.message
        options.resume = resume
        options.threads = globals.threadCount
        let bar = ProgressBar(total: inputs.totalBytes.map(UInt64.init), isShown: !globals.quiet)
        let outcome = Result {
            try writer.ingest(
                into: self.table, inputs: inputs, metadata: metadata, options: options,
                cancellation: cancellation
            ) { bar.update(rows: $0.rows, bytes: $0.inputBytes) }
        }
        bar.finish()
        let result = try outcome.get()
        noteUnused(metadata, tensors: result.unusedTensors, notes: result.notes)
        try report(result)
    }

    func noteUnused(_ metadata: MetadataReader?, tensors: [String], notes: [String]) {
        if let keys = metadata?.undeclaredKeys, !keys.isEmpty {
            globals.note(
                "these keys of the metadata are no fields of the table and were left out: "
                    + keys.sorted().prefix(20).joined(separator: ", "))
        }
        for note in notes { globals.note(note) }
        if !tensors.isEmpty {
            globals.note(
                "these tensors are no layers of the table and were left out: "
                    + tensors.prefix(20).joined(separator: ", "))
        }
    }

    private func report(_ result: IngestResult) throws {
        if globals.json {
            try Console.print(result.json(table: table, checkpoint: checkpoint).text)
        } else if !globals.quiet {
            var text =
                "snapshot \(result.snapshot): \(result.rows.grouped) rows at checkpoint "
                + "\(checkpoint)"
            if result.skipped > 0 { text += ", \(result.skipped.grouped) left out" }
            let rate = UInt64(Double(result.inputBytes) / max(result.seconds, 1e-9))
            text +=
                ", \(Units.bytes(result.inputBytes)) read, \(Units.bytes(result.bytes)) stored, in "
                + "\(Units.seconds(result.seconds)) (\(Units.bytes(rate))/s)"
            try Console.print(text)
        }
    }
}
