// Raw gradients to vectors.

import ArgumentParser
import GradDB

struct ProjectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "project", abstract: "Project raw gradients to vectors.",
        discussion: """
            The input is a safetensors file of raw gradients, each tensor [rows, ...shape] in f32, \
            f16 or bf16 (with --single one row, without the first axis), a named pipe, or - for \
            standard input. The output is safetensors with one f32 tensor per layer, [rows, dims], \
            and the projector in its metadata, which ingest and query check.

            Projectors: sketch,dims=65536,seed=7,normalise=tensor · dense,dims=512 · \
            factored,rank=32x32 · rapidgrad,dims=65536,rounds=20,normalise=tensor, each with \
            match=GLOB for the tensors it takes (several times; all by default).

            Examples:
              gradctl project --projector sketch,dims=65536,normalise=tensor \\
                raw.safetensors grads.safetensors
              gradctl project --table alpaca question-raw.safetensors \\
                question.safetensors --single
            """)

    @OptionGroup var globals: GlobalOptions

    @Option(help: ArgumentHelp("What to project with.", valueName: "spec"))
    var projector: String?

    @Option(help: "The name of the projected tensor.") var layer: String?

    @Option(help: "Take the projectors of all layers of this table.") var table: String?

    @Flag(help: "The input is one row, whose tensors have no axis of rows.") var single = false

    @Argument(help: "Raw gradients.") var input: String

    @Argument(help: "Where the vectors go.") var output: String

    func validate() throws {
        guard (projector == nil) != (table == nil) else {
            throw ValidationError("project takes either --projector SPEC or --table TABLE.")
        }
        guard table == nil || layer == nil else {
            throw ValidationError(
                "--layer names what --projector makes; a table has its own names.")
        }
    }

    func run() throws {
        let cancellation = Interruption.watch()
        let projection = FileProjection(
            input: input, output: output, layers: try layers(), isSingle: single,
            threads: globals.threadCount, cancellation: cancellation)
        let bar = ProgressBar(total: nil, isShown: !globals.quiet)
        let outcome = Result {
            try projection.run { rows, bytes, total in
                bar.total = UInt64(total)
                bar.update(rows: rows, bytes: UInt64(bytes))
            }
        }
        bar.finish()
        let result = try outcome.get()
        if !result.unusedTensors.isEmpty {
            globals.note(
                "these tensors belong to no layer and were left out: "
                    + result.unusedTensors.prefix(20).joined(separator: ", "))
        }
        try report(result)
    }

    private func layers() throws -> [(layer: String, projector: ProjectorDocument)] {
        if let projector {
            return [(layer ?? "grad", try ProjectorDocument(specification: projector))]
        }
        let table = try globals.openDatabase().table(self.table ?? "")
        return try table.layers.map { layer in
            guard let projector = layer.projector else {
                throw GradDBError(
                    .usage,
                    "layer '\(layer.name)' of table '\(table.name)' has no projector, so nobody "
                        + "knows what made its vectors; say it with --projector")
            }
            return (layer.name, projector)
        }
    }

    private func report(_ result: ProjectionResult) throws {
        if globals.json {
            try Console.print(result.json(output: output).text)
        } else if !globals.quiet {
            let rate = UInt64(Double(result.bytes) / max(result.seconds, 1e-9))
            try Console.print(
                "\(result.rows.grouped) rows, \(Units.bytes(UInt64(result.bytes))) in "
                    + "\(Units.seconds(result.seconds)) (\(Units.bytes(rate))/s) to \(output)")
            for (layer, projector) in result.projectors {
                try Console.print("\(layer): \(projector)")
            }
        }
    }
}
