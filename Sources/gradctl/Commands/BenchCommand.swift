// Measuring: bench.

import ArgumentParser
import GradDB

struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure this machine, and scans of a table beside it.",
        discussion: """
            Measures memory, disk and kernels, and keeps the result for the planner in
            $XDG_CACHE_HOME/graddb/machine.json (else ~/.cache). With a table, scans it for 1, 16
            and 128 random queries, from the disk and from memory, beside these limits. With
            --projector only projections are measured, from memory, beside loading every byte.

            Examples:
              gradctl bench
              gradctl bench alpaca --checkpoint step-300
              gradctl bench alpaca --seconds 60 --json
              gradctl bench --projector sketch,dims=65536 --projector sketch,dims=4096
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "A table to scan.") var table: String?

    @Option(help: "The checkpoint to scan (default: the newest).") var checkpoint: String?

    @Option(help: "About how long to measure, for the machine and for the table each.")
    var seconds = 10.0

    @Option(
        name: .customLong("projector"),
        help: ArgumentHelp("A projector to measure (several times).", valueName: "spec"))
    var projectors: [String] = []

    func validate() throws {
        if !projectors.isEmpty, table != nil {
            throw ValidationError("--projector is measured by itself, without a table.")
        }
        guard seconds >= 0.1, seconds <= 3600 else {
            throw ValidationError("--seconds takes a number from 0.1 to 3600, not \(seconds).")
        }
        if checkpoint != nil, table == nil {
            throw ValidationError("--checkpoint needs a table.")
        }
    }

    func run() throws {
        let cancellation = Interruption.watch()
        guard projectors.isEmpty else { return try measureProjectors(cancellation) }
        // Whatever is wrong with the table is said before anything is measured.
        let scans = try table.map { table in
            try TableBench(
                path: try globals.databasePath(), table: table, checkpoint: checkpoint,
                threads: globals.threadCount, cancellation: cancellation)
        }
        let (profile, notes) = try measureMachine(cancellation)
        notes.forEach(globals.note)
        let stored = store(profile)
        var results: [ScanResult] = []
        if let scans {
            results = try scans.run(seconds: seconds, profile)
            scans.notes(on: results).forEach(globals.note)
        }
        let report = BenchReport(profile: profile, stored: stored, table: scans, scans: results)
        if globals.json {
            try Console.print(report.json.text)
        } else {
            for line in report.lines { try Console.print(line) }
        }
    }

    private func measureProjectors(_ cancellation: Cancellation) throws {
        let documents = try projectors.map { try ProjectorDocument(specification: $0) }
        let bench = try ProjectionBench(threads: globals.threadCount, cancellation: cancellation)
        let rates = try documents.map { document in
            try bench.measure(document, seconds: seconds / Double(documents.count))
        }
        guard !globals.json else {
            return try Console.print(bench.json(Array(zip(documents, rates))).text)
        }
        var text = TextTable([
            .init(title: "GB/s of f32"), .init(title: "1 thr", alignment: .right),
            .init(title: "of read", alignment: .right), .init(title: "all", alignment: .right),
            .init(title: "of read", alignment: .right),
        ])
        for (specification, rates) in zip(projectors, rates) {
            func hundredths(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }
            text.append([
                specification, hundredths(rates.projection.one), hundredths(rates.ratio.one),
                hundredths(rates.projection.all), hundredths(rates.ratio.all),
            ])
        }
        for line in text.lines(width: nil, bold: false) { try Console.print(line) }
    }

    private func measureMachine(
        _ cancellation: Cancellation
    ) throws -> (profile: MachineProfile, notes: [String]) {
        return try MachineBench.measure(
            threads: globals.threadCount, seconds: seconds, disk: diskSource,
            cancellation: cancellation)
    }

    /// The disk that the database is on; without one, that of the current directory.
    private var diskSource: DiskSource {
        guard let path = try? globals.databasePath(), Database.exists(at: path) else {
            return .directory(".")
        }
        return .database(at: path)
    }

    /// - Returns: the file's path; nil where it could not be written, which harms nothing.
    private func store(_ profile: MachineProfile) -> String? {
        do {
            return try profile.store()
        } catch {
            globals.note("the measurements are not kept for the planner: \(error)")
            return nil
        }
    }
}
