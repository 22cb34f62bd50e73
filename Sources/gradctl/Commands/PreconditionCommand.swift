// Building, listing and removing preconditioners.

import ArgumentParser
import GradDB
import GradDBQuery

struct PreconditionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "precondition",
        abstract: "Build a preconditioner of the stored gradients, or list or remove them.",
        discussion: """
            A preconditioner is the damped mean of g gᵀ over the rows of the newest snapshot, for \
            each chosen layer and checkpoint. A statement with PRECONDITION scores by its inverse, \
            as influence functions do. Without --name, those that the table has are listed.

            Examples:
              gradctl precondition alpaca --name fisher
              gradctl precondition alpaca --name small --kind woodbury --rank 64 \\
                --damping 1e-3 --layers 'layers.*.mlp.*' \\
                --checkpoint step-100 --checkpoint step-300
              gradctl precondition alpaca
              gradctl precondition alpaca --name fisher --remove
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: "The preconditioner's name.") var name: String?

    @Option(
        help: """
            diagonal, dense or woodbury (default: dense for layers of at most 8,192 dims, woodbury \
            above).
            """) var kind: String?

    @Option(
        parsing: .unconditional,
        help: "What is added to the diagonal (default: a tenth of its mean).")
    var damping: Double?

    @Option(help: "Directions that woodbury keeps (default: 128).") var rank: Int?

    @Option(
        name: .customLong("checkpoint"), parsing: .upToNextOption,
        help: "Checkpoints, one matrix for each (default: the newest).")
    var checkpoints: [String] = []

    @Option(parsing: .upToNextOption, help: "Patterns of layers (default: all).")
    var layers: [String] = []

    @Flag(help: "Make a snapshot without the preconditioner.") var remove = false

    @OptionGroup var snapshot: NewSnapshotOptions

    func validate() throws {
        let builds =
            kind != nil || damping != nil || rank != nil || !checkpoints.isEmpty || !layers.isEmpty
        if remove, builds {
            throw ValidationError("--remove takes --name, --tag and --message only.")
        }
        if name == nil, builds || remove || !snapshot.isEmpty {
            throw ValidationError("--name is missing: name the preconditioner.")
        }
    }

    func run() throws {
        guard let name else { return try list() }
        if remove { return try remove(name) }
        var options = PreconditionOptions(name: name)
        options.kind = try kind.map(PreconditionerKind.init(named:))
        options.damping = damping
        options.rank = rank
        options.checkpoints = checkpoints
        options.layers = layers
        options.tag = snapshot.tag
        options.message = snapshot.message
        options.threads = globals.threadCount
        let cancellation = Interruption.watch()
        let writer = try DatabaseWriter(path: try globals.databasePath())
        try checkNames(try writer.table(table))
        let bar = ProgressBar(total: nil, isShown: !globals.quiet)
        let outcome = Result {
            try writer.precondition(table, options: options, cancellation: cancellation) {
                bar.total = $0.totalBytes
                bar.update(rows: $0.rows, bytes: $0.bytes)
            }
        }
        bar.finish()
        try report(try outcome.get(), try writer.table(table))
    }

    /// Refuses names that the table does not have, with the nearest that it has.
    private func checkNames(_ table: Table) throws {
        let layerNames = table.layers.map(\.name)
        for pattern in layers where !layerNames.contains(where: { Glob(pattern).matches($0) }) {
            throw Self.unknown("layer", pattern, in: table.name, known: layerNames)
        }
        let checkpointNames = try table.checkpoints.map(\.name)
        for checkpoint in checkpoints where !checkpointNames.contains(checkpoint) {
            throw Self.unknown("checkpoint", checkpoint, in: table.name, known: checkpointNames)
        }
    }

    private static func unknown(
        _ what: String, _ name: String, in table: String, known: [String]
    ) -> GradDBError {
        let hint =
            NearestName.hint(for: name, among: known)
            ?? (known.isEmpty
                ? "it has none yet"
                : "it has: " + known.prefix(12).joined(separator: ", ")
                    + (known.count > 12 ? ", …" : ""))
        return GradDBError(.usage, "table '\(table)' has no \(what) '\(name)'; \(hint)")
    }

    private func report(_ result: PreconditionResult, _ table: Table) throws {
        if globals.json {
            try Console.print(result.json(table).text)
        } else if !globals.quiet {
            let document = result.document
            let kinds = PreconditionerKind.allCases.compactMap { kind in
                let count = document.parts.count { $0.kind == kind }
                return count == 0 ? nil : "\(count.grouped) \(kind.rawValue)"
            }
            try Console.print(
                "snapshot \(result.snapshot): preconditioner \(document.name) of "
                    + "\(document.rows.grouped) rows (\(kinds.joined(separator: ", "))), "
                    + "\(Units.bytes(document.bytes)), in \(Units.seconds(result.seconds))")
        }
    }

    private func remove(_ name: String) throws {
        let writer = try DatabaseWriter(path: try globals.databasePath())
        let known = try writer.table(table).activePreconditioners.map(\.name)
        guard known.contains(name) else {
            throw Self.unknown("preconditioner", name, in: table, known: known)
        }
        let snapshot = try writer.removePreconditioner(
            table, name: name, message: snapshot.message, tag: snapshot.tag)
        if globals.json {
            try Console.print(
                JSONObject([
                    ("snapshot", .int(Int64(snapshot))), ("table", .string(table)),
                    ("preconditioner", .string(name)), ("removed", .bool(true)),
                ]).text)
        } else if !globals.quiet {
            try Console.print("snapshot \(snapshot): \(table) without preconditioner \(name)")
        }
    }

    private func list() throws {
        let table = try globals.openDatabase().table(self.table)
        let found = table.activePreconditioners
        if globals.json {
            for document in found { try Console.print(document.json(table).text) }
            return
        }
        guard !found.isEmpty else {
            if !globals.quiet { try Console.print("no preconditioners") }
            return
        }
        var text = TextTable([
            .init(title: "preconditioner"), .init(title: "snapshot", alignment: .right),
            .init(title: "layer"), .init(title: "checkpoint"), .init(title: "kind"),
            .init(title: "rank", alignment: .right), .init(title: "damping"),
            .init(title: "rows", alignment: .right), .init(title: "bytes", alignment: .right),
        ])
        for document in found {
            for part in document.parts {
                text.append([
                    document.name, "\(document.snapshots.first)",
                    table.layers[Int(part.layer)].name,
                    table.checkpointName(part.checkpoint), part.kind.rawValue,
                    part.kind == .woodbury ? "\(part.rank)" : "", "\(part.damping)",
                    part.rows.grouped, Units.bytes(part.bytes),
                ])
            }
        }
        try text.printed()
    }
}
