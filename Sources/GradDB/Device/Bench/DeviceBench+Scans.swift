// Scans of tables of random rows on a device, as statements run them, and what they took.

/// What the score kernel of a codec does for one number of queries.
package struct KernelMeasurement: Sendable {
    package let codec: CodecKind
    package let queries: Int
    package let rows: Int
    package let dims: Int
    /// Stored bytes of vectors.
    package let bytes: Int
    /// Of all launches that score, by the device's events.
    package let seconds: Double
    /// Wall clock of the scan, with its selection, to the rows in the host's memory.
    package let scanSeconds: Double

    package var gigabytesPerSecond: Double { Double(bytes) / seconds / 1e9 }
    package var gmacPerSecond: Double {
        Double(rows) * Double(dims) * Double(queries) / seconds / 1e9
    }
}

/// Scans with nothing on the device.
package struct StagedMeasurement: Sendable {
    package var rows = 0
    package var dims = 0
    package var bytes = 0
    /// Wall clock, of blocks that the process has verified, and of those that it has not.
    package var seconds = 0.0
    package var verifyingSeconds = 0.0
    package var copySeconds = 0.0
    package var kernelSeconds = 0.0

    package var gigabytesPerSecond: Double { Double(bytes) / max(seconds, 1e-9) / 1e9 }
    package var verifyingGigabytesPerSecond: Double {
        Double(bytes) / max(verifyingSeconds, 1e-9) / 1e9
    }
}

/// One query over a table that lies on the device. Seconds.
package struct ResidentMeasurement: Sendable {
    package struct Time: Sendable {
        package var median = 0.0
        package var best = 0.0

        init() {}

        init(_ seconds: [Double]) {
            median = seconds.median
            best = seconds.min() ?? 0
        }
    }

    package var rows = 0
    package var dims = 0
    package var bytes = 0
    package var top = 0
    package var statement = Time()
    package var scan = Time()
    package var prepare = 0.0
    package var copies = 0.0
    package var kernels = 0.0
    package var selection = 0.0
    package var readBack = 0.0
    package var host = 0.0
}

extension DeviceBench {
    /// Rows that scans select where nothing depends on it.
    private static let fewRows = 10
    package static let mostTop = 1000

    private struct Timed {
        var seconds: Double
        var counters: DeviceCounters
    }

    private func run(_ scan: Scan, _ device: StagedDevice, top: Int) throws -> Timed {
        let consumer = ScanConsumer(
            groups: { _, _ in },
            selection: ScanSelection(top: top, bottom: 0, cosineNorms: nil))
        let began = ContinuousClock.now
        let counters = try device.run(scan, units: Array(scan.units.indices), consumer) { _ in }
        let seconds = max((ContinuousClock.now - began).seconds, 1e-9)
        return Timed(seconds: seconds, counters: counters.device ?? DeviceCounters(name: ""))
    }

    private func scanning(_ table: BenchTable, _ database: Database, queries: Int) throws -> Scan {
        try table.scan(
            database, queries: queries, threads: options.threads, cancellation: cancellation)
    }

    /// What does not lie on the device is not what was to be measured.
    private func requireResident(_ timed: Timed, _ table: BenchTable, _ queries: Int) throws {
        guard timed.counters.stagedBytes > 0 else { return }
        throw GradDBError.usage(
            "the \(table.codec.rawValue) table of \(table.bytes.grouped) bytes does not stay on the "
                + "device beside \(queries) queries; give a smaller --size, or more --gpu-memory")
    }

    /// The score kernels of a codec, on a table that lies on the device.
    func kernels(
        _ table: BenchTable, _ device: StagedDevice, secondsOfBatch: Double
    ) throws -> [KernelMeasurement] {
        device.forgetItems()
        device.timeScores(true)
        defer { device.timeScores(false) }
        let database = try table.database()
        return try options.queries.map { queries in
            let scan = try scanning(table, database, queries: queries)
            // The round that does not count brings the table there.
            let timed = try rounds(secondsOfBatch) {
                try run(scan, device, top: Self.fewRows)
            }
            for round in timed { try requireResident(round, table, queries) }
            let seconds = timed.map(\.counters.scoreSeconds).median
            return KernelMeasurement(
                codec: table.codec, queries: queries, rows: table.rows, dims: table.dims,
                bytes: table.bytes, seconds: max(seconds, 1e-9),
                scanSeconds: timed.map(\.seconds).median)
        }
    }

    /// Scans that bring everything to the device, from the page cache.
    func staged(
        _ table: BenchTable, _ device: StagedDevice, seconds: Double
    ) throws -> StagedMeasurement {
        var result = StagedMeasurement()
        (result.rows, result.dims, result.bytes) = (table.rows, table.dims, table.bytes)
        let verifying = try rounds(seconds / 2) {
            // A database that has just been opened has verified nothing.
            let scan = try scanning(table, table.database(), queries: 1)
            device.forgetItems()
            return try run(scan, device, top: Self.fewRows)
        }
        let scan = try scanning(table, table.database(), queries: 1)
        let verified = try rounds(seconds / 2) {
            device.forgetItems()
            return try run(scan, device, top: Self.fewRows)
        }
        result.verifyingSeconds = verifying.map(\.seconds).median
        result.seconds = verified.map(\.seconds).median
        result.copySeconds = verified.map(\.counters.copySeconds).median
        result.kernelSeconds = verified.map(\.counters.computeSeconds).median
        return result
    }

    /// One query over what lies on the device, by a statement, and by its scan alone.
    func resident(
        _ table: BenchTable, _ device: StagedDevice, seconds: Double, _ statement: Statement
    ) throws -> ResidentMeasurement {
        var result = ResidentMeasurement()
        (result.rows, result.dims, result.bytes) = (table.rows, table.dims, table.bytes)
        result.top = max(1, min(Self.mostTop, table.rows / 2))
        result.statement = .init(
            try statement(table, DeviceUse(device, isRequired: true), seconds / 3))
        let scan = try scanning(table, table.database(), queries: 1)
        let plain = try rounds(seconds / 3) { try run(scan, device, top: result.top) }
        for timed in plain { try requireResident(timed, table, 1) }
        result.scan = .init(plain.map(\.seconds))
        // Timing launches one by one costs a little time of its own.
        device.timeScores(true)
        defer { device.timeScores(false) }
        let timed = try rounds(seconds / 3) { try run(scan, device, top: result.top) }
        func median(_ part: KeyPath<DeviceCounters, Double>) -> Double {
            timed.map { $0.counters[keyPath: part] }.median
        }
        result.prepare = median(\.prepareSeconds)
        result.copies = median(\.copySeconds)
        result.kernels = median(\.scoreSeconds)
        result.selection = median(\.selectSeconds)
        result.readBack = median(\.readSeconds)
        result.host =
            timed.map { timed in
                let counters = timed.counters
                return max(
                    0,
                    timed.seconds - counters.prepareSeconds - counters.copySeconds
                        - counters.scoreSeconds - counters.selectSeconds - counters.readSeconds)
            }.median
        return result
    }
}
