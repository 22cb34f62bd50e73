// Measures a device: its limits, and what scans of the engine do on it, on tables of random rows.

/// How a device is measured.
package struct DeviceBenchOptions: Sendable {
    /// Stored bytes of the int8 table; nil: by the device's memory.
    package var size: Int?
    /// Of a row; nil: by the size.
    package var dims: Int?
    /// Queries of the batches that are scored.
    package var queries = usualQueries
    /// About how long, without making tables.
    package var seconds = 10.0
    package var threads: Int
    package var cancellation: Cancellation

    /// Whether the figures say what a planner wants to know: those of a small table would not.
    package var areUsual: Bool { size == nil && dims == nil && queries == Self.usualQueries }

    package static let usualQueries = [1, 16, 64, 128, 1024]

    package init(threads: Int, cancellation: Cancellation) {
        self.threads = threads
        self.cancellation = cancellation
    }

    package static var mostQueries: Int { BenchTable.mostQueries }
}

/// What was measured of a device.
package struct DeviceMeasurement {
    package let device: MeasuredDevice
    package let measured: String
    package var limits = DeviceLimitRates()
    package var kernels: [KernelMeasurement] = []
    package var staged = StagedMeasurement()
    package var resident = ResidentMeasurement()

    /// For the planner.
    package var profile: DeviceProfile {
        var profile = DeviceProfile(key: device.key, measured: measured)
        profile.start = device.startSeconds
        profile.launch = limits.launchSeconds
        profile.ringCopy = limits.ring
        profile.pinnedCopy = limits.pinned
        profile.backCopy = limits.back
        profile.memoryRead = limits.read
        profile.memoryCopy = limits.copy
        profile.int8Peak = limits.int8Peak
        profile.staged = staged.verifyingGigabytesPerSecond
        profile.passSeconds = max(0, resident.scan.median - resident.kernels)
        for kernel in kernels {
            profile.kernels[kernel.codec, queries: kernel.queries] = kernel.gigabytesPerSecond
        }
        return profile
    }
}

package struct DeviceBench {
    let device: MeasuredDevice
    let options: DeviceBenchOptions
    private let directory: String

    var cancellation: Cancellation { options.cancellation }

    /// Runs a statement for the table's query on a device, and says how long it took, `seconds` long.
    package typealias Statement = (_ table: BenchTable, _ device: DeviceUse, _ seconds: Double)
        throws -> [Double]

    private static let limitShare = 0.2
    private static let kernelShare = 0.5
    private static let stagedShare = 0.15
    private static let residentShare = 0.15
    private static let leastRounds = 3

    /// - Parameter statement: what asks the table's query by a statement, and times it.
    /// - Throws: `DeviceError`; `.usage` for sizes that make no sense; `.io` without room for tables;
    ///   `.interrupted`.
    package static func measure(
        _ device: MeasuredDevice, _ options: DeviceBenchOptions, statement: Statement
    ) throws -> DeviceMeasurement {
        try TemporaryDirectory.with { directory in
            try DeviceBench(device: device, options: options, directory: directory)
                .measure(statement)
        }
    }

    private func measure(_ statement: Statement) throws -> DeviceMeasurement {
        let shape = try shape()
        var result = DeviceMeasurement(device: device, measured: Timestamp.now())
        result.limits = try limits(bytes: shape.bytes, seconds: options.seconds * Self.limitShare)
        let share =
            options.seconds * Self.kernelShare
            / Double(CodecKind.allCases.count * options.queries.count)
        // One that scans as any other does, apart from those of this process.
        let staged = StagedDevice(
            device.backend, memory: device.memory,
            rates: DeviceLimits(bus: 1e9, memory: 1e9, products: 1e9, start: 0))
        for codec in CodecKind.allCases {
            let table = try table(codec, shape)
            result.kernels += try kernels(table, staged, secondsOfBatch: share)
            guard codec == .int8 else { continue }
            result.staged = try self.staged(
                table, staged, seconds: options.seconds * Self.stagedShare)
            result.resident = try resident(
                table, staged, seconds: options.seconds * Self.residentShare, statement)
        }
        return result
    }

    // MARK: tables

    private struct Shape {
        var rows: Int
        var dims: Int
        var bytes: Int { rows * dims }
    }

    /// Of the int8 table.
    private func shape() throws -> Shape {
        let size = options.size ?? device.usualBytes
        guard size <= device.memory / 3 else {
            throw GradDBError.usage(
                "a table of \(size.grouped) bytes does not stay on a device of which "
                    + "\(device.memory.grouped) bytes may be used; give --size a third of that at most"
            )
        }
        let dims = options.dims ?? (size >= 1_000_000_000 ? 65_536 : 4096)
        guard size >= 16 * dims else {
            throw GradDBError.usage(
                "a table of \(size.grouped) bytes has less than 16 rows of \(dims.grouped) dims; "
                    + "give a larger --size or fewer --dims")
        }
        return Shape(rows: size / dims, dims: dims)
    }

    private func table(_ codec: CodecKind, _ shape: Shape) throws -> BenchTable {
        try cancellation.check()
        let rowBytes = codec.codec(dims: shape.dims, seed: 1, kernels: try KernelSet.chosen())
            .rowBytes
        return try BenchTable(
            codec, rows: max(1, min(2 * shape.rows, shape.bytes / rowBytes)), dims: shape.dims,
            in: directory, threads: options.threads, cancellation: cancellation)
    }

    // MARK: rounds

    /// What rounds give, for about `seconds`, behind one that does not count.
    func rounds<Value>(_ seconds: Double, _ round: () throws -> Value) throws -> [Value] {
        _ = try round()
        let end = ContinuousClock.now + .seconds(seconds)
        var values: [Value] = []
        repeat {
            try cancellation.check()
            values.append(try round())
        } while values.count < Self.leastRounds || ContinuousClock.now < end
        return values
    }
}
