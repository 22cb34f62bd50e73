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
            --projector only projections are measured, from memory, beside loading every byte. With
            --device a GPU is measured: its limits, and scans of random rows on it.

            Examples:
              gradctl bench
              gradctl bench alpaca --checkpoint step-300
              gradctl bench alpaca --seconds 60 --json
              gradctl bench --projector sketch,dims=65536 --projector sketch,dims=4096
              gradctl bench --device gpu:0
              gradctl bench --device staged --size 4M --queries 1 --queries 64
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

    @Option(
        help: ArgumentHelp(
            "What to measure: cpu (default), gpu, gpu:N, gpu:N,M or staged.", valueName: "device"))
    var device: String?

    @Option(
        name: .customLong("gpu-memory"),
        help: ArgumentHelp(
            "Bytes of each device to use, such as 4G (default: most of what is free).",
            valueName: "bytes"))
    var memory: String?

    @Option(
        help: ArgumentHelp(
            "With --device: bytes of the int8 table (default: by the device's memory).",
            valueName: "bytes"))
    var size: String?

    @Option(help: "With --device: dims of a row (default: 65,536 in a table of 1G or more).")
    var dims: Int?

    @Option(
        name: .customLong("queries"),
        help: ArgumentHelp(
            "With --device: a number of queries (several times; default: 1, 16, 64, 128, 1024).",
            valueName: "count"))
    var queries: [Int] = []

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
        guard dims.map({ (64...TableSchema.maxDims).contains($0) }) ?? true else {
            throw ValidationError("--dims takes a number from 64 to \(TableSchema.maxDims).")
        }
        let mostQueries = DeviceBenchOptions.mostQueries
        guard queries.allSatisfy({ (1...mostQueries).contains($0) }),
            Set(queries).count == queries.count
        else {
            throw ValidationError(
                "--queries takes different numbers from 1 to \(mostQueries), one each time.")
        }
    }

    /// The device that is measured; nil: this machine's processor.
    private func measuredDevice() throws -> DeviceChoice? {
        let choice = try device.map { try DeviceChoice(named: $0) } ?? .cpu
        guard choice != .auto else {
            throw GradDBError(
                .usage, "bench measures what --device names: cpu, gpu, gpu:N or staged")
        }
        guard choice == .cpu else {
            if table != nil || !projectors.isEmpty {
                throw GradDBError(
                    .usage, "a device is measured by itself, without a table or --projector")
            }
            return choice
        }
        if memory != nil || size != nil || dims != nil || !queries.isEmpty {
            throw GradDBError(
                .usage,
                "--gpu-memory, --size, --dims and --queries are of a device: --device gpu or staged"
            )
        }
        return nil
    }

    private func measure(_ device: DeviceChoice, _ cancellation: Cancellation) throws {
        var options = DeviceBenchOptions(threads: globals.threadCount, cancellation: cancellation)
        options.size = try size.map { try Units.byteCount($0, of: "--size") }
        options.dims = dims
        options.seconds = seconds
        if !queries.isEmpty { options.queries = queries.sorted() }
        let memory = try memory.map { try Units.byteCount($0, of: "--gpu-memory") }
        let measured = try DeviceBenchRun(choice: device, memory: memory, options: options)
            .measure()
        let report = DeviceBenchReport(
            processor: try MachineKey.current(threads: globals.threadCount).processor,
            threads: globals.threadCount,
            stored: options.areUsual
                ? kept { try DeviceProfile.store(measured.map(\.profile)) } : nil,
            devices: measured)
        try print(report.json, report.lines)
    }

    private func print(_ json: JSONObject, _ lines: [String]) throws {
        guard !globals.json else { return try Console.print(json.text) }
        for line in lines { try Console.print(line) }
    }

    func run() throws {
        let cancellation = Interruption.watch()
        if let device = try measuredDevice() { return try measure(device, cancellation) }
        guard projectors.isEmpty else { return try measureProjectors(cancellation) }
        // Whatever is wrong with the table is said before anything is measured.
        let scans = try table.map { table in
            try TableBench(
                path: try globals.databasePath(), table: table, checkpoint: checkpoint,
                threads: globals.threadCount, cancellation: cancellation)
        }
        let (profile, notes) = try measureMachine(cancellation)
        notes.forEach(globals.note)
        let stored = kept { try profile.store() }
        var results: [ScanResult] = []
        if let scans {
            results = try scans.run(seconds: seconds, profile)
            scans.notes(on: results).forEach(globals.note)
        }
        let report = BenchReport(profile: profile, stored: stored, table: scans, scans: results)
        try print(report.json, report.lines)
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
    private func kept(_ store: () throws -> String) -> String? {
        do {
            return try store()
        } catch {
            globals.note("the measurements are not kept for the planner: \(error)")
            return nil
        }
    }
}
