// What ranks have written: committing it, looking at it, removing it.

import ArgumentParser
import GradDB

struct CommitCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "commit", abstract: "Make one snapshot of what ranks have written.",
        discussion: """
            Several processes write a checkpoint's vectors beside each other with `gradctl ingest \
            --rank`, or through the library. When all are closed, this brings everything they have \
            written into the table, or nothing.

            Examples:
              gradctl ingest alpaca part-0.safetensors --checkpoint step-300 --rank 0/8 \\
                --metadata part-0.jsonl
              gradctl commit alpaca --checkpoint step-300 --tag v1
              gradctl commit alpaca --checkpoint step-300 --partial
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: "The model checkpoint that the vectors belong to.") var checkpoint: String

    @Flag(help: "Take ranks that are not closed as far as they have come.") var partial = false

    @OptionGroup var snapshot: NewSnapshotOptions

    func run() throws {
        var options = StagedCommitOptions()
        options.partial = partial
        options.tag = snapshot.tag
        options.message = snapshot.message
        options.threads = globals.threadCount
        let cancellation = Interruption.watch()
        let writer = try DatabaseWriter(path: try globals.databasePath())
        let bar = ProgressBar(total: nil, isShown: !globals.quiet)
        let outcome = Result {
            try writer.commitStaged(
                into: table, checkpoint: checkpoint, options: options, cancellation: cancellation
            ) { bar.update(rows: $0.rows, bytes: $0.inputBytes) }
        }
        bar.finish()
        let result = try outcome.get()
        for note in result.notes { globals.note(note) }
        if globals.json {
            try Console.print(
                JSONObject([
                    ("snapshot", .int(Int64(result.snapshot))), ("table", .string(table)),
                    ("checkpoint", .string(checkpoint)), ("rows", .int(Int64(result.rows))),
                    ("new_rows", .int(Int64(result.newRows))),
                    ("bytes", .int(Int64(result.bytes))), ("seconds", .float(result.seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "snapshot \(result.snapshot): \(result.rows.grouped) rows at checkpoint "
                    + "\(checkpoint), \(Units.bytes(result.bytes)) stored, in "
                    + Units.seconds(result.seconds))
        }
    }
}

struct StagedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "staged", abstract: "Show or remove what ranks have written.",
        discussion: """
            Examples:
              gradctl staged
              gradctl staged alpaca --json
              gradctl staged alpaca --checkpoint step-300 --abandon
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "A table; without it, all of them.") var table: String?

    @Option(help: "Only what is staged at this checkpoint.") var checkpoint: String?

    @Flag(help: "Remove it, with all that its ranks have written.") var abandon = false

    func validate() throws {
        if abandon, table == nil || checkpoint == nil {
            throw ValidationError("--abandon takes a table and --checkpoint: name what to remove.")
        }
    }

    func run() throws {
        let path = try globals.databasePath()
        if abandon, let table, let checkpoint {
            try DatabaseWriter(path: path).abandonStaged(table, checkpoint: checkpoint)
            if globals.json {
                try Console.print(
                    JSONObject([
                        ("table", .string(table)), ("checkpoint", .string(checkpoint)),
                        ("abandoned", .bool(true)),
                    ]).text)
            } else if !globals.quiet {
                try Console.print("removed what was staged for \(table) at \(checkpoint)")
            }
            return
        }
        if let table { _ = try Database(path: path).table(table) }
        let found = try StagedIngest.list(database: path).filter { staged in
            table.map { staged.document.name == $0 } ?? true
                && checkpoint.map { staged.document.checkpoint == $0 } ?? true
        }
        if globals.json {
            for staged in found { try Console.print(staged.json.text) }
        } else {
            try show(found)
        }
    }

    private func show(_ found: [StagedIngest]) throws {
        guard !found.isEmpty else {
            if !globals.quiet { try Console.print("nothing is staged") }
            return
        }
        var text = TextTable([
            .init(title: "table"), .init(title: "checkpoint"),
            .init(title: "ranks", alignment: .right), .init(title: "closed", alignment: .right),
            .init(title: "writing", alignment: .right), .init(title: "rows", alignment: .right),
            .init(title: "bytes", alignment: .right), .init(title: "begun"),
            .init(title: "problem"),
        ])
        for staged in found {
            text.append([
                staged.document.name, staged.document.checkpoint, "\(staged.document.ranks)",
                "\(staged.ranks.count { $0.isClosed })",
                "\(staged.ranks.count { $0.isBeingWritten })", staged.rows.grouped,
                Units.bytes(staged.bytes), staged.document.begun, staged.problem ?? "",
            ])
        }
        try text.printed()
    }
}
