// Backups: making, listing, verifying, restoring and removing them.

import ArgumentParser
import GradDB

struct BackupCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "backup", abstract: "Make, verify and restore backups of a database.",
        discussion: """
            A backup directory has any number of backups of one database; what several have is \
            there once. Backups are made beside a writer at work, and have what was committed.

            Examples:
              gradctl backup create /backups/runs --db runs/db
              gradctl backup verify /backups/runs
              gradctl backup restore /backups/runs 3 --into runs/restored
              gradctl backup prune /backups/runs --keep-last 7
            """,
        subcommands: [
            BackupCreateCommand.self, BackupListCommand.self, BackupVerifyCommand.self,
            BackupRestoreCommand.self, BackupPruneCommand.self,
        ])
}

struct BackupCreateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create", abstract: "Make a backup of what is committed.",
        discussion: """
            What earlier backups in the directory have is not copied again.

            Examples:
              gradctl backup create /backups/runs
              gradctl backup create /backups/runs --rate 200M
            """)

    @OptionGroup var globals: GlobalOptions
    @OptionGroup var rate: RateOption

    @Argument(help: "The backup directory; made when it is not there.") var directory: String

    @Flag(help: "Read what earlier backups have, and write anew what is damaged of it.")
    var full = false

    func run() throws {
        var options = try rate.options(globals)
        options.isFull = full
        let fixedOptions = options
        let path = try globals.databasePath()
        let result = try StageBar.showing(globals) { bar, cancellation in
            try Backup.create(
                of: path, in: directory, options: fixedOptions, cancellation: cancellation
            ) { bar.update($0, share: $1) }
        }
        let summary = result.summary
        if globals.json {
            try Console.print(
                JSONObject([
                    ("backup", .int(Int64(result.manifest.backup))),
                    ("directory", .string(directory)), ("database", .string(path)),
                    ("time", .string(result.manifest.time)),
                    ("tables", .int(Int64(result.manifest.tables.count))),
                    ("objects", .int(Int64(summary.objects))),
                    ("bytes", .int(Int64(summary.bytes))),
                    ("copied_objects", .int(Int64(summary.copiedObjects))),
                    ("copied_bytes", .int(Int64(summary.copiedBytes))),
                    ("seconds", .float(summary.seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "backup \(result.manifest.backup): \(Units.bytes(summary.bytes)), of which "
                    + "\(Units.bytes(summary.copiedBytes)) were copied, in "
                    + Units.seconds(summary.seconds))
        }
    }
}

struct BackupListCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show the backups that there are, newest first.",
        discussion: """
            Example:
              gradctl backup list /backups/runs
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The backup directory.") var directory: String

    func run() throws {
        let listings = try Backup.list(directory).reversed()
        if globals.json {
            for listing in listings { try Console.print(listing.json.text) }
        } else {
            try Self.table(Array(listings)).printed()
        }
        let damaged = listings.filter { if case .failure = $0.manifest { true } else { false } }
        guard damaged.isEmpty else {
            try Console.flush()
            throw GradDBError(
                .corrupt,
                "\(damaged.count) manifests are damaged; run `gradctl backup verify \(directory)`")
        }
    }

    private static func table(_ listings: [BackupListing]) -> TextTable {
        var text = TextTable([
            .init(title: "backup", alignment: .right), .init(title: "time"),
            .init(title: "bytes", alignment: .right), .init(title: "copied", alignment: .right),
            .init(title: "tables (snapshot)"),
        ])
        for listing in listings {
            switch listing.manifest {
            case .success(let manifest):
                text.append([
                    "\(listing.backup)", manifest.head.time, Units.bytes(manifest.summary.bytes),
                    Units.bytes(manifest.summary.copiedBytes),
                    manifest.head.tables.map { "\($0.table) (\($0.snapshot))" }
                        .joined(separator: ", "),
                ])
            case .failure: text.append(["\(listing.backup)", "damaged", "", "", ""])
            }
        }
        return text
    }
}

struct BackupVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Read every byte of the backups, or of one.",
        discussion: """
            Examples:
              gradctl backup verify /backups/runs
              gradctl backup verify /backups/runs 3 --json
            """)

    @OptionGroup var globals: GlobalOptions
    @OptionGroup var rate: RateOption

    @Argument(help: "The backup directory.") var directory: String
    @Argument(help: "A backup's number (default: all).") var backup: UInt64?

    func run() throws {
        let started = ContinuousClock.now
        let options = try rate.options(globals)
        let report = try StageBar.showing(globals) { bar, cancellation in
            try Backup.verify(
                directory, backup: backup, options: options, cancellation: cancellation
            ) { bar.update($0, share: $1) }
        }
        let seconds = (ContinuousClock.now - started).seconds
        for problem in report.problems {
            try Console.print(
                globals.json
                    ? problem.json.text
                    : "\(problem.message) (backups "
                        + problem.backups.map { "\($0)" }.joined(separator: ", ") + ")")
        }
        if globals.json {
            try Console.print(
                JSONObject([
                    ("ok", .bool(report.isOK)), ("backups", .int(Int64(report.backups))),
                    ("objects", .int(Int64(report.objects))),
                    ("bytes", .int(Int64(report.bytes))),
                    ("problems", .int(Int64(report.problems.count))), ("seconds", .float(seconds)),
                ]).text)
        } else {
            try Console.print(
                "\(report.isOK ? "ok" : "damaged"): \(report.backups) backups, "
                    + "\(report.objects.grouped) objects, \(Units.bytes(report.bytes)) in "
                    + Units.seconds(seconds))
        }
        guard report.isOK else {
            try Console.flush()
            throw GradDBError(
                .corrupt,
                "\(report.problems.count) problems; `gradctl backup create --full` writes what the "
                    + "database still has anew")
        }
    }
}

struct BackupRestoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Make the database of a backup at another place.",
        discussion: """
            Every byte is verified. Nothing is at the place before the database is whole.

            Examples:
              gradctl backup restore /backups/runs --into runs/restored
              gradctl backup restore /backups/runs 3 --into runs/third
            """)

    @OptionGroup var globals: GlobalOptions
    @OptionGroup var rate: RateOption

    @Argument(help: "The backup directory.") var directory: String
    @Argument(help: "A backup's number (default: the newest).") var backup: UInt64?

    @Option(help: "Where the database is to be: a new or empty directory.") var into: String

    func run() throws {
        let options = try rate.options(globals)
        let result = try StageBar.showing(globals) { bar, cancellation in
            try Backup.restore(
                directory, backup: backup, into: into, options: options, cancellation: cancellation
            ) { bar.update($0, share: $1) }
        }
        let manifest = result.manifest
        if globals.json {
            try Console.print(
                JSONObject([
                    ("backup", .int(Int64(manifest.head.backup))), ("into", .string(into)),
                    ("tables", .int(Int64(manifest.head.tables.count))),
                    ("rows", .int(Int64(result.rows))),
                    ("objects", .int(Int64(manifest.summary.objects))),
                    ("bytes", .int(Int64(manifest.summary.bytes))),
                    ("seconds", .float(result.seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "restored backup \(manifest.head.backup) into \(into): "
                    + "\(Units.bytes(manifest.summary.bytes)) in \(Units.seconds(result.seconds))")
        }
    }
}

struct BackupPruneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Remove all backups but the last.",
        discussion: """
            Example:
              gradctl backup prune /backups/runs --keep-last 7
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The backup directory.") var directory: String

    @Option(help: "How many backups to keep (1 or more).") var keepLast: Int

    @Flag(help: "Say what would be removed, and remove nothing.") var dryRun = false

    func run() throws {
        let result = try Backup.prune(
            directory, keepingLast: keepLast, isDryRun: dryRun, cancellation: Interruption.watch())
        if globals.json {
            try Console.print(
                JSONObject([
                    ("removed", .array(result.removed.map { .int(Int64($0)) })),
                    ("backups", .int(Int64(result.left))), ("objects", .int(Int64(result.objects))),
                    ("bytes", .int(Int64(result.bytes))), ("dry_run", .bool(dryRun)),
                    ("seconds", .float(result.seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "\(dryRun ? "would remove" : "removed") \(result.removed.count) backups and "
                    + "\(result.objects.grouped) objects (\(Units.bytes(result.bytes))); "
                    + "\(result.left) backups are left")
        }
    }
}

/// `--rate`, of commands that read or write much.
struct RateOption: ParsableArguments {
    @Option(help: "Most bytes to read or write there in a second, such as 200M (default: any).")
    var rate: String?

    func options(_ globals: GlobalOptions) throws -> BackupOptions {
        var options = BackupOptions()
        options.threads = globals.threadCount
        options.bytesPerSecond = try rate.map { text in
            guard let bytes = Units.parse(text) else {
                throw GradDBError(
                    .usage, "--rate takes bytes a second, such as 200M, not '\(text)'")
            }
            return bytes
        }
        return options
    }
}

extension StageBar {
    /// Runs work that the user may interrupt, with a bar that shows how far it is.
    static func showing<R>(
        _ globals: GlobalOptions, _ work: (StageBar, Cancellation) throws -> R
    ) throws -> R {
        let bar = StageBar(isShown: !globals.quiet)
        let outcome = Result { try work(bar, Interruption.watch()) }
        bar.finish()
        return try outcome.get()
    }
}

extension BackupListing {
    fileprivate var json: JSONObject {
        switch manifest {
        case .failure(let error):
            return JSONObject([
                ("backup", .int(Int64(backup))), ("problem", .string(error.message)),
            ])
        case .success(let manifest):
            let tables = manifest.head.tables.map { table in
                JSONValue.object(
                    JSONObject([
                        ("table", .string(table.table)), ("snapshot", .int(Int64(table.snapshot))),
                        ("rows", .int(Int64(table.rows))),
                    ]))
            }
            return JSONObject([
                ("backup", .int(Int64(backup))), ("time", .string(manifest.head.time)),
                ("database", .string(manifest.head.source)), ("tables", .array(tables)),
                ("objects", .int(Int64(manifest.summary.objects))),
                ("bytes", .int(Int64(manifest.summary.bytes))),
                ("copied_bytes", .int(Int64(manifest.summary.copiedBytes))),
            ])
        }
    }
}

extension BackupReport.Problem {
    fileprivate var json: JSONObject {
        JSONObject([
            ("problem", .string(message)), ("object", object.map { .string($0) } ?? .null),
            ("backups", .array(backups.map { .int(Int64($0)) })),
        ])
    }
}
