// Scans on a device give the bits that the processor gives, also where the device fails on the way.

import GradDB
import Synchronization
import Testing

@Suite struct StagedScanTests {
    private static let rates = DeviceLimits(bus: 1e9, memory: 1e9, products: 1e9, start: 0)
    private static let rows = 150
    private static let layers: [(name: String, dims: Int, codec: CodecKind)] = [
        ("a", 700, .int8), ("b", 9000, .int8), ("c", 515, .int4), ("d", 1000, .bit),
        ("e", 33, .f32), ("f", 2100, .f16), ("g", 77, .bf16),
    ]

    private struct Scene {
        let database: TestDatabase
        let view: TableView
    }

    private func scene(_ random: inout SeededRandom) throws -> Scene {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t",
            layers: Self.layers.map { .init(name: $0.name, dims: $0.dims, codec: $0.codec) })
        schema.rowsPerGroup = 16
        try database.create(schema)
        var matrices: [String: Matrix] = [:]
        for layer in Self.layers {
            matrices[layer.name] = (0..<Self.rows).map { _ in random.vector(layer.dims) }
        }
        try database.ingest("t", matrices)
        return Scene(database: database, view: try database.table("t").newest)
    }

    private func request(
        _ view: TableView, layers: [Int], queries: Int, filter: RowSet?, threads: Int,
        _ random: inout SeededRandom
    ) throws -> ScanRequest {
        let kernels = try KernelSet.chosen()
        let chosen = layers.map { view.table.layers[$0] }
        let columns = try chosen.map { layer in
            let encoding = try view.finestEncoding(of: layer)
            let codec = try view.table.codec(layer, encoding.codec, kernels)
            return ScanColumn(layer, allOf: encoding, codec)
        }
        var encoded: [[EncodedQuery]] = []
        for _ in 0..<queries {
            encoded.append(
                try chosen.map { layer in
                    try view.table.codec(layer, try view.finestEncoding(of: layer).codec, kernels)
                        .encodeQuery(random.vector(layer.dims))
                })
        }
        return ScanRequest(
            view: view, checkpoint: try #require(view.newestCheckpoint), columns: columns,
            queries: encoded, filter: filter, threads: threads, cancellation: Cancellation())
    }

    /// Scores by row, as bits, norms last; each row once.
    private func scores(_ request: ScanRequest) throws -> (
        scores: [UInt64: [UInt64]], counters: ScanCounters
    ) {
        let found = Mutex<[UInt64: [UInt64]]>([:])
        let queries = request.queries.count
        let counters = try Scan(request).run { _, scores in
            found.withLock { found in
                for (index, row) in scores.rows.enumerated() where scores.mask?[index] ?? true {
                    #expect(found[row] == nil)
                    found[row] =
                        (0..<queries).map {
                            scores.dots[$0 * scores.rows.count + index].bitPattern
                        } + [scores.squaredNorms[index].bitPattern]
                }
            }
        }
        return (found.withLock { $0 }, counters)
    }

    private func randomRequest(
        _ view: TableView, _ random: inout SeededRandom
    ) throws -> ScanRequest {
        var filter: RowSet?
        if Bool.random(using: &random) {
            var rows = RowSet(rowCount: UInt64(Self.rows))
            let share = Int.random(in: 1...4, using: &random)
            for row in 0..<UInt64(Self.rows) where Int.random(in: 0..<4, using: &random) < share {
                rows.insert(row)
            }
            filter = rows
        }
        let layers = Self.layers.indices.filter { _ in Bool.random(using: &random) }
        return try request(
            view, layers: layers.isEmpty ? [0] : layers,
            queries: [1, 2, 5, 65, 130].randomElement(using: &random) ?? 1, filter: filter,
            threads: Int.random(in: 1...4, using: &random), &random)
    }

    @Test(arguments: [32 << 20, 64 << 20])
    func scoresAreThoseOfTheProcessor(memory: Int) throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let scene = try scene(&random)
        // One device for all scans: what one leaves there, the others find.
        let device = StagedDevice(
            HostBackend(memoryBytes: memory, isPoisoned: true), memory: memory, rates: Self.rates)
        for _ in 0..<25 * TestScale.factor {
            var request = try randomRequest(scene.view, &random)
            let here = try scores(request).scores
            request.device = DeviceUse(device, isRequired: true)
            let there = try scores(request)
            #expect(there.scores == here, "seed \(seed)")
            #expect(there.counters.device?.failure == nil)
        }
        #expect(device.usage.residentBytes > 0)
        #expect(device.usage.residentBytes <= memory)
    }

    @Test func severalDevicesDealOutRowGroups() throws {
        var random = SeededRandom(seed: 5)
        let scene = try scene(&random)
        let devices = (0..<3).map { ordinal in
            StagedDevice(
                HostBackend(memoryBytes: 64 << 20, ordinal: ordinal), memory: 64 << 20,
                rates: Self.rates)
        }
        for _ in 0..<5 {
            var request = try randomRequest(scene.view, &random)
            request.filter = nil
            let here = try scores(request).scores
            request.device = DeviceUse(DeviceGroup(devices), isRequired: true)
            #expect(try scores(request).scores == here)
        }
        #expect(devices.allSatisfy { $0.usage.residentBytes > 0 })
    }

    @Test func theBestRowsAreAmongThoseThatADeviceSelects() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var random = SeededRandom(seed: seed)
        let scene = try scene(&random)
        let device = StagedDevice(
            HostBackend(memoryBytes: 32 << 20), memory: 32 << 20, rates: Self.rates)
        for _ in 0..<10 * TestScale.factor {
            var request = try randomRequest(scene.view, &random)
            let all = try scores(request).scores
            request.device = DeviceUse(device, isRequired: true)
            let (top, bottom) = (
                Int.random(in: 0...20, using: &random), Int.random(in: 0...200, using: &random)
            )
            let selected = Mutex<[Int: [UInt64: UInt64]]>([:])
            _ = try Scan(request).run(
                ScanConsumer(
                    groups: { _, _ in Issue.record("all scores were handed over") },
                    selection: ScanSelection(top: top, bottom: bottom, cosineNorms: nil),
                    selected: { _, scores in
                        selected.withLock { selected in
                            for score in scores {
                                selected[score.query, default: [:]][score.row] =
                                    score.score.bitPattern
                            }
                        }
                    }))
            for query in request.queries.indices {
                let found = selected.withLock { $0[query] ?? [:] }
                let order = all.sorted {
                    Double(bitPattern: $0.value[query]) > Double(bitPattern: $1.value[query])
                }
                for (row, scores) in order.prefix(top) + order.suffix(bottom) {
                    #expect(found[row] == scores[query], "seed \(seed)")
                }
            }
        }
    }

    /// All but fills, which only selections need.
    @Test(arguments: HostFault.Call.allCases.filter { $0 != .fill })
    func whereADeviceFailsTheProcessorDoesWhatIsLeft(call: HostFault.Call) throws {
        var random = SeededRandom(seed: 7)
        let scene = try scene(&random)
        var request = try request(
            scene.view, layers: [1, 3, 5], queries: 3, filter: nil, threads: 2, &random)
        let here = try scores(request).scores
        var failures = 0
        for number in 1...40 {
            let backend = HostBackend(
                memoryBytes: 16 << 20, isPoisoned: true, faults: [HostFault(call, number)])
            let device = StagedDevice(backend, memory: 16 << 20, rates: Self.rates)
            request.device = DeviceUse(device, isRequired: false)
            let there = try scores(request)
            #expect(there.scores == here, "\(call) \(number)")
            if there.counters.device?.failure != nil { failures += 1 }
            // A device that is required fails with the device's own words.
            request.device = DeviceUse(
                StagedDevice(
                    HostBackend(memoryBytes: 16 << 20, faults: [HostFault(call, number)]),
                    memory: 16 << 20, rates: Self.rates), isRequired: true)
            if let failure = there.counters.device?.failure {
                let error = #expect(throws: GradDBError.self) { try scores(request) }
                #expect(error?.kind == .failed && error?.message == failure)
            }
            // What a failed scan left behind does not mislead the next one.
            request.device = DeviceUse(device, isRequired: false)
            #expect(try scores(request).scores == here)
        }
        #expect(failures > 0)
    }

    @Test func aDeviceWithoutRoomSaysWhatItNeeds() throws {
        var random = SeededRandom(seed: 9)
        let scene = try scene(&random)
        var request = try request(
            scene.view, layers: [1], queries: 1, filter: nil, threads: 1, &random)
        let device = StagedDevice(
            HostBackend(memoryBytes: 5 << 20), memory: 4_300_000, rates: Self.rates)
        request.device = DeviceUse(device, isRequired: true)
        let error = #expect(throws: GradDBError.self) { try scores(request) }
        #expect(error?.message.contains("--gpu-memory") ?? false)
    }

    @Test func aScanThatIsStoppedLeavesNothingHalfBrought() throws {
        var random = SeededRandom(seed: 11)
        let scene = try scene(&random)
        let device = StagedDevice(
            HostBackend(memoryBytes: 64 << 20, isPoisoned: true), memory: 64 << 20,
            rates: Self.rates)
        var request = try request(
            scene.view, layers: [0, 1, 2, 3], queries: 2, filter: nil, threads: 2, &random)
        let here = try scores(request).scores
        request.device = DeviceUse(device, isRequired: true)
        var stopped = 0
        for _ in 0..<30 {
            let cancellation = Cancellation()
            request.cancellation = cancellation
            let delay = UInt64.random(in: 0..<3_000_000, using: &random)
            let stopper = Task.detached {
                try? await Task.sleep(nanoseconds: delay)
                cancellation.cancel()
            }
            do {
                #expect(try scores(request).scores == here)
            } catch let error as GradDBError where error.kind == .interrupted {
                stopped += 1
            }
            stopper.cancel()
            request.cancellation = Cancellation()
            #expect(try scores(request).scores == here)
        }
    }
}
