// Making the best of a damaged database.

import ArgumentParser
import GradDB

struct RepairCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "repair", abstract: "Set aside what is damaged, and keep the rest answering.",
        discussion: """
            Builds a new database of everything that can be read, next to the damaged one, and puts \
            it in its place. The damaged one keeps its files, under another name. Restoring a backup \
            loses less, where there is one.

            Examples:
              gradctl repair --dry-run
              gradctl repair
            """)

    @OptionGroup var globals: GlobalOptions

    @Flag(help: "Only say what is lost.") var dryRun = false

    func run() throws {
        let cancellation = Interruption.watch()
        let started = ContinuousClock.now
        let report = try Repair(
            path: try globals.databasePath(), threads: globals.threadCount,
            cancellation: cancellation
        ).run(dryRun: dryRun)
        for loss in report.losses {
            try Console.print(globals.json ? loss.json.text : loss.text)
        }
        let seconds = (ContinuousClock.now - started).seconds
        if globals.json {
            try Console.print(summary(report, seconds: seconds).text)
        } else if !globals.quiet {
            try say(report)
        }
    }

    private func summary(_ report: RepairReport, seconds: Double) -> JSONObject {
        JSONObject([
            ("damaged", .bool(report.isDamaged)), ("tables", .int(Int64(report.tables))),
            ("vectors_lost", .int(Int64(report.vectorsLost))),
            ("rows_lost", .int(Int64(report.rowsLost))),
            ("rows_restored", .int(Int64(report.rowsRestored))),
            ("broken_files", .array(report.brokenFiles.map { .string($0) })),
            ("set_aside", report.setAside.map { .string($0) } ?? .null),
            (
                "snapshots",
                .object(
                    JSONObject(
                        report.snapshots.sorted { $0.key < $1.key }
                            .map { (key: $0.key, value: .int(Int64($0.value))) }))
            ), ("dry_run", .bool(dryRun)), ("seconds", .float(seconds)),
        ])
    }

    private func say(_ report: RepairReport) throws {
        try Console.print(
            report.isDamaged
                ? "\(report.vectorsLost.grouped) vectors and \(report.rowsLost.grouped) rows are lost, "
                    + "\(report.rowsRestored.grouped) rows were restored from what is stored twice"
                : "nothing is damaged")
        for (table, snapshot) in report.snapshots.sorted(by: { $0.key < $1.key }) {
            try Console.print("\(table): snapshot \(snapshot) is without what is lost")
        }
        if report.isDamaged, !dryRun, report.setAside == nil {
            try Console.print("only older snapshots lack something: nothing was changed")
        }
        if let place = report.setAside { try Console.print("the damaged database is \(place)") }
    }
}

extension RepairReport {
    fileprivate var vectorsLost: Int {
        losses.reduce(0) { sum, loss in
            if case .vectors(_, _, _, let count, _, _) = loss { sum + count } else { sum }
        }
    }

    fileprivate var rowsLost: Int {
        losses.reduce(0) { sum, loss in
            switch loss {
            case .rows(_, let numbers): sum + numbers.count
            case .deletedRows(_, let rows, isInNewest: true): sum + rows.count
            default: sum
            }
        }
    }
}

extension RepairLoss {
    fileprivate var json: JSONObject {
        switch self {
        case .vectors(let table, let checkpoint, let segment, let count, let ids, let isInNewest):
            JSONObject([
                ("lost", .string("vectors")), ("table", .string(table)),
                ("checkpoint", .string(checkpoint)), ("segment", .int(Int64(segment))),
                ("vectors", .int(Int64(count))), ("ids", .array(ids.map(\.json))),
                ("newest", .bool(isInNewest)),
            ])
        case .rows(let table, let numbers):
            JSONObject([
                ("lost", .string("rows")), ("table", .string(table)),
                ("rows", .int(Int64(numbers.count))),
                ("numbers", .array(numbers.prefix(10).map { .int(Int64($0)) })),
            ])
        case .deletedRows(let table, let rows, let isInNewest):
            JSONObject([
                ("lost", .string("deleted_rows")), ("table", .string(table)),
                ("first_row", .int(Int64(rows.lowerBound))),
                ("last_row", .int(Int64(rows.upperBound) - 1)), ("newest", .bool(isInNewest)),
            ])
        case .preconditioner(let table, let name):
            JSONObject([
                ("lost", .string("preconditioner")), ("table", .string(table)),
                ("preconditioner", .string(name)),
            ])
        }
    }

    fileprivate var text: String {
        switch self {
        case .vectors(let table, let checkpoint, let segment, let count, let ids, let isInNewest):
            "\(table): \(count.grouped) vectors of checkpoint \(checkpoint) (segment \(segment)"
                + (isInNewest ? "" : ", in older snapshots only") + ") are lost"
                + (ids.isEmpty
                    ? ""
                    : ": " + ids.map { "\($0)" }.joined(separator: ", ")
                        + (count > ids.count ? ", …" : ""))
        case .rows(let table, let numbers):
            "\(table): \(numbers.count.grouped) rows are lost with their ids and fields"
        case .deletedRows(let table, let rows, let isInNewest):
            "\(table): which of rows \(rows.lowerBound) to \(rows.upperBound - 1) are deleted is lost"
                + (isInNewest ? ", so all of them are left out" : ", in older snapshots only")
        case .preconditioner(let table, let name):
            "\(table): the preconditioner \(name) is lost"
        }
    }
}
