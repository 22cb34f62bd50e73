// What is kept on a device stays there, through scans of more than fits and through failures.

import GradDB
import Testing

@Suite struct KeptItemsTests {
    private static let rates = DeviceLimits(bus: 1e9, memory: 1e9, products: 1e9, start: 0)
    private static let memory = 18 << 20
    private static let rows = 240

    private struct Scene {
        let database: TestDatabase
        let view: TableView
        let checkpoints: [CheckpointDocument]
        let query: [Float]

        /// Three checkpoints of about 4.8 MB, of which two stay in three quarters of the memory.
        init() throws {
            database = try TestDatabase()
            var random = SeededRandom(seed: 3)
            var schema = TableSchema(
                name: "t",
                layers: [
                    .init(name: "a", dims: 16_384, codec: .int8),
                    .init(name: "b", dims: 900, codec: .f32),
                ])
            schema.rowsPerGroup = 40
            try database.create(schema)
            // What the numbers are does not matter, and to make many takes long.
            let some = random.vector(1_009)
            let numbers = (0..<18).flatMap { _ in some }
            func rows(_ dims: Int) -> Matrix {
                (0..<KeptItemsTests.rows).map { Array(numbers[$0..<$0 + dims]) }
            }
            for checkpoint in ["c1", "c2", "c3"] {
                try database.ingest(
                    "t", ["a": rows(16_384), "b": rows(900)], checkpoint: checkpoint)
            }
            view = try database.table("t").newest
            checkpoints = view.checkpoints.sorted { $0.name < $1.name }
            query = Array(numbers.prefix(16_384))
        }

        func keep(_ checkpoint: Int, layers: [Int] = [0, 1], on device: any ScanDevice) throws
            -> KeptItems
        {
            try view.keep(
                checkpoints[checkpoint], layers: layers.map { view.table.layers[$0] }, on: device,
                threads: 2, Cancellation())
        }

        /// What a scan of the first layer at a checkpoint brings to a device.
        func staged(
            _ checkpoint: Int, on device: any ScanDevice, isRequired: Bool = true, queries: Int = 1
        ) throws -> DeviceCounters {
            let layer = view.table.layers[0]
            let encoding = try view.finestEncoding(of: layer)
            let codec = try view.table.codec(layer, encoding.codec, KernelSet.chosen())
            let encoded = try codec.encodeQuery(query)
            var request = ScanRequest(
                view: view, checkpoint: checkpoints[checkpoint],
                columns: [
                    ScanColumn(layer, allOf: encoding, codec)
                ], queries: Array(repeating: [encoded], count: queries), filter: nil, threads: 2,
                cancellation: Cancellation())
            request.device = DeviceUse(device, isRequired: isRequired)
            return try #require(try Scan(request).run { _, _ in }.device)
        }
    }

    private func device(_ faults: [HostFault] = [], ordinal: Int = 0) -> StagedDevice {
        StagedDevice(
            HostBackend(
                memoryBytes: Self.memory, ordinal: ordinal, isPoisoned: true, faults: faults),
            memory: Self.memory, rates: Self.rates)
    }

    @Test func whatIsKeptStaysUntilItIsReleased() throws {
        let scene = try Scene()
        let device = device()
        let kept = try scene.keep(0, on: device)
        #expect(kept.rowGroups == 6 && kept.bytes > Self.rows * (16_384 + 4 * 900))
        for _ in 0..<3 {
            for other in [1, 2] { _ = try scene.staged(other, on: device) }
            #expect(try scene.staged(0, on: device).stagedBytes == 0)
        }
        // Two more do not fit beside it; a layer that is small does.
        let error = #expect(throws: GradDBError.self) {
            let second = try scene.keep(1, on: device)
            _ = try scene.keep(2, on: device)
            second.release()
        }
        #expect(error?.kind == .failed && error?.message.contains("are kept already") == true)
        #expect(try scene.keep(2, layers: [1], on: device).bytes < 2 << 20)
        kept.release()
        kept.release()
        for _ in 0..<2 { for other in [1, 2] { _ = try scene.staged(other, on: device) } }
        #expect(try scene.staged(0, on: device).stagedBytes > 0)
    }

    @Test func whatNobodyHoldsAnyMoreIsReleased() throws {
        let scene = try Scene()
        let device = device()
        for checkpoint in [0, 1, 2] {
            // Two of them would not fit if the one before had not gone.
            let kept = try scene.keep(checkpoint, on: device)
            #expect(kept.bytes < Self.memory / 2)
            let other = try scene.keep((checkpoint + 1) % 3, on: device)
            #expect(try scene.staged((checkpoint + 1) % 3, on: device).stagedBytes == 0)
            other.release()
        }
    }

    @Test func severalDevicesKeepTheirShares() throws {
        let scene = try Scene()
        let devices = (0..<3).map { device(ordinal: $0) }
        let group = DeviceGroup(devices)
        let kept = try scene.keep(0, on: group)
        #expect(devices.allSatisfy { $0.usage.residentBytes > 0 })
        #expect(kept.bytes == devices.reduce(0) { $0 + $1.usage.residentBytes })
        #expect(try scene.staged(0, on: group).stagedBytes == 0)
    }

    /// Where keeping fails nothing is kept; where a scan fails later, what was kept comes back.
    @Test func whatADeviceLosesComesBack() throws {
        let scene = try Scene()
        var failures = (keeping: 0, scanning: 0)
        // Of those that a device survives: the arena, the ring and outputs, of the keep and of scans.
        for fault in [
            HostFault(.queue, 2), HostFault(.pinned, 1), HostFault(.pinned, 3),
            HostFault(.pinned, 7), HostFault(.pinned, 8), HostFault(.pinned, 9),
        ] {
            let device = device([fault])
            do {
                let kept = try scene.keep(0, on: device)
                // More queries need other outputs.
                for queries in [1, 60, 200] {
                    let counters = try scene.staged(
                        0, on: device, isRequired: false, queries: queries)
                    if counters.failure != nil {
                        failures.scanning += 1
                        // Brought again by this scan, and it stays.
                        #expect(try scene.staged(0, on: device).stagedBytes > 0)
                        for other in [1, 2] { _ = try scene.staged(other, on: device) }
                        #expect(try scene.staged(0, on: device).stagedBytes == 0)
                    }
                }
                kept.release()
            } catch is DeviceError {
                failures.keeping += 1
                for other in [1, 2] { _ = try scene.staged(other, on: device) }
                let again = try scene.keep(2, on: device)
                #expect(try scene.staged(2, on: device).stagedBytes == 0)
                again.release()
            }
        }
        #expect(failures == (4, 2))
    }
}
