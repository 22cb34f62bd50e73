// Going back and forgetting: restore, delete, expire.

import ArgumentParser
import GradDB
import GradDBQuery

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What every command that makes a snapshot may say of it.
struct NewSnapshotOptions: ParsableArguments {
    @Option(help: "A tag for the new snapshot.") var tag: String?

    @Option(
        name: [.short, .long], parsing: .unconditional, help: "A message for the new snapshot.")
    var message = ""

    var isEmpty: Bool { tag == nil && message.isEmpty }

    func options(_ globals: GlobalOptions) -> SnapshotOptions {
        var options = SnapshotOptions()
        options.tag = tag
        options.message = message
        options.threads = globals.threadCount
        return options
    }
}

struct RestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Make a new snapshot that equals an older one.",
        discussion: """
            Nothing is lost: the snapshots in between stay, and can be restored as well.

            Examples:
              gradctl restore alpaca --to 3
              gradctl restore alpaca --to before-cleaning --message 'the filter was wrong'
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: "A snapshot's number, a tag, or a time; 0 is the empty table.") var to: String

    @OptionGroup var snapshot: NewSnapshotOptions

    func run() throws {
        let writer = try DatabaseWriter(path: try globals.databasePath())
        let result = try writer.restore(table, to: to, options: snapshot.options(globals))
        if globals.json {
            try Console.print(
                JSONObject([
                    ("snapshot", .int(Int64(result.snapshot))), ("table", .string(table)),
                    ("restored", .int(Int64(result.restored))),
                    ("rows", .int(Int64(result.rows))), ("bytes", .int(Int64(result.bytes))),
                    ("hash", .string(result.hash)), ("seconds", .float(result.seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "snapshot \(result.snapshot) equals \(result.restored): "
                    + "\(Int(result.rows).grouped) rows, \(Units.bytes(result.bytes))")
        }
    }
}

struct DeleteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Make a new snapshot without some rows.",
        discussion: """
            Older snapshots keep the rows. To remove their bytes for good, follow it with \
            `gradctl compact`, `gradctl expire` and `gradctl gc`.

            Examples:
              gradctl delete alpaca --where "source = 'forum' AND tokens < 4"
              gradctl delete alpaca --ids forget.txt --message 'request 12'
              gradctl query "…" --json | gradctl delete alpaca --ids -
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(
        name: .customLong("where"), help: ArgumentHelp("Rows to delete.", valueName: "condition"))
    var condition: String?

    @Option(
        help: ArgumentHelp(
            "A file with an id on each line, or `-`: as it is, or as JSON.", valueName: "file"))
    var ids: String?

    @Option(
        name: .customLong("param"),
        help: ArgumentHelp("A value for $NAME in the condition.", valueName: "name=value"))
    var parameters: [String] = []

    @Flag(help: "Pass over ids that the table does not have.") var ignoreMissing = false

    @Flag(help: "Only say how many rows would be deleted.") var dryRun = false

    @OptionGroup var snapshot: NewSnapshotOptions

    func run() throws {
        guard (condition == nil) != (ids == nil) else {
            throw GradDBError(.usage, "say which rows to delete: with --where, or with --ids")
        }
        let cancellation = Interruption.watch()
        var options = try queryOptions(globals, parameters)
        options.cancellation = cancellation
        let path = try globals.databasePath()
        guard !dryRun else {
            let table = try Database(path: path).table(table)
            let (rows, missing) = try chosen(of: table, options)
            try report(
                DeleteResult(
                    snapshot: table.newestSnapshot, deleted: rows.count,
                    rows: table.rowCount - UInt64(rows.count)), missing: missing)
            return
        }
        let writer = try DatabaseWriter(path: path)
        let table = try writer.table(table)
        let (rows, missing) = try chosen(of: table, options)
        let result = try writer.delete(
            rows, from: table, options: snapshot.options(globals), cancellation: cancellation)
        try report(result, missing: missing)
    }

    private func chosen(
        of table: Table, _ options: QueryOptions
    ) throws -> (rows: DeletedRows, missing: Int) {
        let view = try table.newest
        var rows = DeletedRows()
        var missing = 0
        if let condition {
            try view.rows(where: condition, options).forEachRow { rows.insert($0) }
        } else if let ids {
            let path = ids == "-" ? "/dev/stdin" : ids
            for id in try IDFile.ids(path: path, type: table.head.idType ?? .string) {
                if let row = try view.row(of: id) {
                    rows.insert(row)
                } else if ignoreMissing {
                    missing += 1
                } else {
                    throw GradDBError(
                        .badInput,
                        "\(ids): table '\(self.table)' has no row with the id \(id) (snapshot "
                            + "\(view.snapshot)); take it out, or pass over such ids with "
                            + "--ignore-missing")
                }
            }
        }
        return (rows, missing)
    }

    private func report(_ result: DeleteResult, missing: Int) throws {
        if globals.json {
            try Console.print(
                JSONObject([
                    ("snapshot", .int(Int64(result.snapshot))), ("table", .string(table)),
                    ("deleted", .int(Int64(result.deleted))), ("missing", .int(Int64(missing))),
                    ("rows", .int(Int64(result.rows))), ("dry_run", .bool(dryRun)),
                    ("seconds", .float(result.seconds)),
                ]).text)
            return
        }
        guard !globals.quiet else { return }
        let left = "\(Int(result.rows).grouped) are left"
        if missing > 0 { globals.note("\(missing.grouped) ids are not in the table") }
        if dryRun {
            try Console.print("\(result.deleted.grouped) rows would be deleted; \(left)")
        } else if result.deleted == 0 {
            try Console.print("no row is deleted; \(left)")
        } else {
            try Console.print(
                "snapshot \(result.snapshot): \(result.deleted.grouped) rows deleted, \(left)")
        }
    }
}

struct ExpireCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "expire", abstract: "Remove old snapshots.",
        discussion: """
            The newest snapshot and those with a tag never expire. The bytes that no snapshot has \
            any more stay until `gradctl gc`.

            Examples:
              gradctl expire alpaca --keep-last 3
              gradctl expire alpaca --older-than 30d --dry-run
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: "All but the last so many snapshots.") var keepLast: Int?

    @Option(
        help: ArgumentHelp(
            "Snapshots older than this: 90s, 15m, 12h, 30d, 2w, or a time.", valueName: "age|time"))
    var olderThan: String?

    @Flag(help: "Only say which would go.") var dryRun = false

    func run() throws {
        let rule = ExpiryRule(keepLast: keepLast, olderThan: try olderThan.map(Self.limit))
        let started = ContinuousClock.now
        let (expired, left) = try expire(rule)
        if globals.json {
            try Console.print(
                JSONObject([
                    ("table", .string(table)),
                    ("expired", .array(expired.map { .int(Int64($0)) })),
                    ("snapshots", .int(Int64(left))), ("dry_run", .bool(dryRun)),
                    ("seconds", .float((ContinuousClock.now - started).seconds)),
                ]).text)
        } else if !globals.quiet {
            let names = expired.map { "\($0)" }.joined(separator: ", ")
            let verb = dryRun ? "would expire" : "expired"
            try Console.print(
                expired.isEmpty
                    ? "no snapshot \(dryRun ? "would expire" : "has expired"); \(left) are kept"
                    : "snapshots \(verb): \(names); \(left) are kept")
        }
    }

    private func expire(_ rule: ExpiryRule) throws -> (expired: [UInt64], left: Int) {
        let path = try globals.databasePath()
        guard dryRun else { return try DatabaseWriter(path: path).expire(table, rule) }
        let table = try Database(path: path).table(table)
        let expired = try table.expired(by: rule)
        return (expired, table.snapshots.count - expired.count)
    }

    private static func limit(_ text: String) throws -> Date {
        if let time = Timestamp.parse(text) { return time }
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
        guard let unit = text.last.flatMap({ units[$0] }), let count = Double(text.dropLast()),
            count >= 0, count.isFinite
        else {
            throw GradDBError(
                .usage,
                "--older-than takes an age such as 90s, 15m, 12h, 30d or 2w, or a time such as "
                    + "2026-01-31T12:00:00Z, not '\(text)'")
        }
        return Date().addingTimeInterval(-count * unit)
    }
}
