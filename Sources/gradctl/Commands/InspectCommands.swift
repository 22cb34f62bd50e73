// Looking at a database: info, snapshots, tag, check.

import ArgumentParser
import GradDB

struct InfoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Show what a database or a table holds.",
        discussion: """
            Examples:
              gradctl info
              gradctl info alpaca --json
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "A table; without it, the database.") var table: String?

    func run() throws {
        let database = try globals.openDatabase()
        if let table {
            try Self.show(try database.table(table), asJSON: globals.json)
        } else {
            try Self.show(database, asJSON: globals.json)
        }
    }

    static func show(_ database: Database, asJSON: Bool) throws {
        if asJSON {
            try Console.print(try database.infoJSON.text)
            return
        }
        let statistics = try database.statistics
        try Console.print(
            "\(database.path): format \(database.formatVersion), \(Units.bytes(statistics.bytes))"
                + ratio(statistics.amplification))
        guard !statistics.tables.isEmpty else {
            try Console.print("no tables yet; make one with `gradctl create`")
            return
        }
        var text = TextTable([
            .init(title: "table"), .init(title: "rows", alignment: .right),
            .init(title: "deleted", alignment: .right),
            .init(title: "snapshot", alignment: .right), .init(title: "size", alignment: .right),
            .init(title: "garbage", alignment: .right), .init(title: "layers"),
            .init(title: "checkpoints"),
        ])
        for counts in statistics.tables {
            let table = try database.table(counts.table)
            text.append([
                table.name, Int(counts.rows).grouped, Int(counts.deleted).grouped,
                "\(counts.snapshot)", Units.bytes(counts.bytes),
                Units.bytes(counts.garbageBytes),
                table.layers.map(table.summary).joined(separator: " "),
                try table.checkpoints.map(\.name).joined(separator: " "),
            ])
        }
        try text.printed()
    }

    /// How many times as large something is as the vectors that newest snapshots have.
    private static func ratio(_ amplification: Double?) -> String {
        amplification.map { ", \(($0 * 100).rounded() / 100) times its vectors" } ?? ""
    }

    static func show(_ table: Table, asJSON: Bool) throws {
        if asJSON {
            try Console.print(try table.infoJSON.text)
            return
        }
        let counts = try table.statistics
        try list(
            table.name,
            [
                "\(Int(counts.rows).grouped) rows (unit \(table.unit.rawValue))",
                "\(Int(counts.deleted).grouped) deleted", "\(counts.vectors.grouped) vectors",
            ])
        try list(
            "history",
            [
                "snapshot \(counts.snapshot)", "\(counts.snapshots.grouped) snapshots",
                "\(counts.segments.grouped) segments in the newest",
            ])
        try list(
            "size",
            [
                "\(Units.bytes(counts.bytes)) in the newest snapshot",
                "\(Units.bytes(counts.storedBytes)) in all" + ratio(counts.amplification),
                "\(Units.bytes(counts.garbageBytes)) garbage",
            ])
        try list(
            "codecs", counts.bytesOfCodecs.map { "\($0.codec) \(Units.bytes($0.bytes))" })
        try list("layers", table.layers.map(table.summary))
        for layer in table.layers {
            guard let projector = layer.projector else { continue }
            try Console.print("projector of \(layer.name): \(projector)")
        }
        try list("fields", table.fields.map { "\($0.name):\($0.type.rawValue)" })
        try list(
            "tags", table.tags.sorted { $0.key < $1.key }.map { "\($0.key) = \($0.value)" })
        let preconditioners = table.activePreconditioners.map(\.name)
        if !preconditioners.isEmpty { try list("preconditioners", preconditioners) }
        let checkpoints = try table.checkpoints
        guard !checkpoints.isEmpty else { return }
        var text = TextTable([
            .init(title: "checkpoint"), .init(title: "step", alignment: .right),
            .init(title: "weight", alignment: .right), .init(title: "rows", alignment: .right),
        ])
        for checkpoint in checkpoints {
            text.append([
                checkpoint.name, checkpoint.step.map { "\($0)" } ?? "",
                checkpoint.weight.map { "\($0)" } ?? "", checkpoint.rows.grouped,
            ])
        }
        try text.printed()
    }

    /// A line, or several where it would be wider than the terminal, or than 80 columns.
    private static func list(_ title: String, _ items: [String]) throws {
        let width = Console.width(of: 1) ?? 80
        var line = Console.printable(title) + ":"
        for (index, item) in (items.isEmpty ? ["none"] : items).enumerated() {
            let text = Console.printable(item) + (index + 1 < items.count ? "," : "")
            if TextTable.width(line) + 1 + TextTable.width(text) > width {
                try Console.print(line)
                line = " "
            }
            line += " " + text
        }
        try Console.print(line)
    }
}

struct SnapshotsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "snapshots", abstract: "Show the history of a table, newest first.",
        discussion: """
            Example:
              gradctl snapshots alpaca
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    func run() throws {
        let table = try globals.openDatabase().table(self.table)
        let snapshots = table.history.reversed()
        if globals.json {
            for snapshot in snapshots { try Console.print(snapshot.json.text) }
            return
        }
        var text = TextTable([
            .init(title: "snapshot", alignment: .right), .init(title: "time"),
            .init(title: "made by"), .init(title: "checkpoint"),
            .init(title: "rows", alignment: .right),
            .init(title: "bytes", alignment: .right), .init(title: "tags"),
            .init(title: "message"),
        ])
        for snapshot in snapshots {
            text.append([
                "\(snapshot.number)", String(snapshot.time.prefix(19)) + "Z",
                snapshot.restored.map { "\(snapshot.operation) \($0)" } ?? snapshot.operation,
                snapshot.checkpoint ?? "",
                Int(snapshot.rows).grouped, Units.bytes(snapshot.bytes),
                snapshot.tags.joined(separator: " "), snapshot.message,
            ])
        }
        try text.printed()
    }
}

struct TagCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tag", abstract: "Name a snapshot, or remove its name.",
        discussion: """
            Examples:
              gradctl tag alpaca v1
              gradctl tag alpaca v1 3
              gradctl tag alpaca v1 --delete
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String
    @Argument(help: "The tag.") var tag: String
    @Argument(help: "A snapshot's number (default: the newest).") var snapshot: UInt64?
    @Flag(help: "Remove the tag.") var delete = false

    func validate() throws {
        if delete, snapshot != nil {
            throw ValidationError("--delete takes no snapshot: a tag has one name.")
        }
    }

    func run() throws {
        let writer = try DatabaseWriter(path: try globals.databasePath())
        var members: [(key: String, value: JSONValue)] = [
            ("table", .string(table)), ("tag", .string(tag)),
        ]
        let message: String
        if delete {
            try writer.deleteTag(table, tag)
            members.append(("deleted", .bool(true)))
            message = "removed the tag \(tag)"
        } else {
            let number = try writer.tag(table, tag, snapshot: snapshot)
            members.append(("snapshot", .int(Int64(number))))
            message = "\(tag) is snapshot \(number)"
        }
        if globals.json {
            try Console.print(JSONObject(members).text)
        } else if !globals.quiet {
            try Console.print(message)
        }
    }
}

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Verify a database.",
        discussion: """
            Without --deep the structure is verified: documents, row maps, the header of every \
            block. With --deep every stored byte is.

            Examples:
              gradctl check
              gradctl check --deep --json
            """)

    @OptionGroup var globals: GlobalOptions

    @Flag(help: "Verify every stored byte.") var deep = false

    func run() throws {
        let started = ContinuousClock.now
        let database = try Database(inspecting: try globals.databasePath())
        let check = Check(
            database, deep: deep, threads: globals.threadCount,
            cancellation: Interruption.watch())
        let bar = ProgressBar(total: nil, isShown: !globals.quiet)
        let report = try check.run { bar.update(rows: 0, bytes: $0) }
        bar.finish()
        let seconds = (ContinuousClock.now - started).seconds
        for problem in report.problems {
            try Console.print(
                globals.json
                    ? problem.json.text : Console.printable(problem.text, keepingLines: true))
        }
        try Console.print(summary(report, seconds: seconds))
        guard report.isOK else {
            try Console.flush()
            throw GradDBError(
                .corrupt,
                "\(report.problems.count) problems; restore what is affected from a backup")
        }
    }

    private func summary(_ report: Check.Report, seconds: Double) -> String {
        guard globals.json else {
            return "\(report.isOK ? "ok" : "damaged"): \(report.tables) tables, "
                + "\(report.segments) segments, \(report.blocks.grouped) blocks, "
                + Units.bytes(report.bytes)
                + (report.staged > 0 ? ", \(report.staged) staged ingests" : "")
                + " in \(Units.seconds(seconds))"
        }
        return JSONObject([
            ("ok", .bool(report.isOK)), ("deep", .bool(deep)),
            ("tables", .int(Int64(report.tables))), ("segments", .int(Int64(report.segments))),
            ("blocks", .int(Int64(report.blocks))), ("bytes", .int(Int64(report.bytes))),
            ("staged", .int(Int64(report.staged))),
            ("problems", .int(Int64(report.problems.count))), ("seconds", .float(seconds)),
        ]).text
    }
}

extension TextTable {
    func printed() throws {
        for line in lines(width: Console.width(of: 1), bold: false) { try Console.print(line) }
    }
}
