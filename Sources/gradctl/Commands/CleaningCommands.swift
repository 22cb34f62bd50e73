// Making room: compact, gc.

import ArgumentParser
import GradDB

struct CompactCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compact",
        abstract: "Write small segments together, and without their deleted rows.",
        discussion: """
            Makes a new snapshot of the same content. Older snapshots keep the segments that they \
            have; `gradctl expire` and `gradctl gc` remove those.

            Examples:
              gradctl compact alpaca
              gradctl compact alpaca --all --tag tidy
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Flag(help: "Make one segment of each checkpoint.") var all = false

    @OptionGroup var snapshot: NewSnapshotOptions

    func run() throws {
        var options = CompactionOptions()
        options.all = all
        options.snapshot = snapshot.options(globals)
        let cancellation = Interruption.watch()
        let writer = try DatabaseWriter(path: try globals.databasePath())
        let bar = ProgressBar(total: nil, isShown: !globals.quiet)
        let outcome = Result {
            try writer.compact(table, options: options, cancellation: cancellation) {
                bar.total = UInt64($0.totalRows)
                bar.update(rows: $0.rows, bytes: UInt64($0.rows))
            }
        }
        bar.finish()
        try report(try outcome.get())
    }

    private func report(_ result: CompactionResult) throws {
        if globals.json {
            try Console.print(
                JSONObject([
                    ("snapshot", .int(Int64(result.snapshot))), ("table", .string(table)),
                    ("segments_before", .int(Int64(result.segmentsBefore))),
                    ("segments", .int(Int64(result.segments))),
                    ("rewritten", .int(Int64(result.rewritten))),
                    ("rows", .int(Int64(result.rows))), ("dropped", .int(Int64(result.dropped))),
                    ("bytes_before", .int(Int64(result.bytesBefore))),
                    ("bytes", .int(Int64(result.bytes))), ("seconds", .float(result.seconds)),
                ]).text)
            return
        }
        guard !globals.quiet else { return }
        guard result.rewritten > 0 else {
            try Console.print("nothing to compact in \(result.segments) segments")
            return
        }
        try Console.print(
            "snapshot \(result.snapshot): \(result.segmentsBefore) segments became "
                + "\(result.segments), \(result.rows.grouped) vectors written, "
                + "\(result.dropped.grouped) dropped, \(Units.bytes(result.bytesBefore)) -> "
                + "\(Units.bytes(result.bytes)), in \(Units.seconds(result.seconds))")
    }
}

struct GarbageCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gc", abstract: "Remove what no snapshot has.",
        discussion: """
            What expired snapshots held alone goes for good: segments, and rows that were deleted \
            and compacted away. Readers that are open keep what they see until they close.

            Examples:
              gradctl gc --dry-run
              gradctl gc
            """)

    @OptionGroup var globals: GlobalOptions

    @Flag(help: "Only say what would go.") var dryRun = false

    func run() throws {
        let cancellation = Interruption.watch()
        let started = ContinuousClock.now
        let path = try globals.databasePath()
        let report =
            try dryRun
            ? Database(path: path).garbage(cancellation)
            : DatabaseWriter.cleanUp(path: path, cancellation: cancellation)
        let seconds = (ContinuousClock.now - started).seconds
        if globals.json {
            try Console.print(
                JSONObject([
                    ("segments", .int(Int64(report.segments))), ("rows", .int(Int64(report.rows))),
                    ("checkpoints", .int(Int64(report.checkpoints))),
                    ("preconditioners", .int(Int64(report.preconditioners))),
                    ("deleted_row_containers", .int(Int64(report.deletedRowContainers))),
                    ("bytes", .int(Int64(report.bytes))),
                    ("file_bytes", .int(Int64(report.fileBytes))), ("dry_run", .bool(dryRun)),
                    ("seconds", .float(seconds)),
                ]).text)
        } else if !globals.quiet {
            let verb = dryRun ? "would go" : "removed"
            try Console.print(
                "\(verb): \(report.segments) segments (\(Units.bytes(report.bytes))), "
                    + "\(report.rows.grouped) rows, \(report.checkpoints) checkpoints, "
                    + "\(report.preconditioners) preconditioners"
                    + (dryRun ? "" : "; the files are \(Units.bytes(report.fileBytes)) smaller"))
        }
    }
}
