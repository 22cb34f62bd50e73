// Whatever stored bytes are, decoding them neither crashes nor takes more memory than they say that
// they need: it gives a value, or an error. Checksums are made right again, so that the code behind
// them is reached.

import GradDB
import Testing

@Suite struct FormatFuzzTests {
    /// Runs `body` with seeded mutators until time is up; damage must be an error of these kinds.
    private func fuzz(
        _ what: String, _ body: (inout Mutator) throws -> Void
    ) throws {
        let seed = TestScale.seed(of: "fuzz of \(what)")
        var mutator = Mutator(seed: seed)
        let end = ContinuousClock.now + .seconds(TestScale.fuzzSeconds)
        var counts = (taken: 0, refused: 0)
        while ContinuousClock.now < end {
            for _ in 0..<100 {
                do {
                    try body(&mutator)
                    counts.taken += 1
                } catch let error as GradDBError {
                    counts.refused += 1
                    #expect(
                        error.kind == .corrupt || error.kind == .formatTooNew,
                        "seed \(seed): \(error)")
                    #expect(!error.message.isEmpty)
                }
            }
        }
        print("fuzz of \(what): \(counts)")
        #expect(min(counts.taken, counts.refused) > 0)
    }

    @Test func headersOfBlocks() throws {
        let kernels = try KernelSet.chosen()
        let key = BlockKey(table: 1, segment: 2, rowGroup: 3, encoding: 4, slab: 0)
        let layout = BlockLayout(rows: 5, stride: 40, hasStatistics: true)
        var sound = [UInt8](repeating: 7, count: layout.byteCount)
        sound.withUnsafeMutableBytes { block in
            BlockHeader(
                codec: 4, key: key, dims: 40, firstDim: 0, layout: layout, squaredNorms: 1...2
            ).write(to: block) { kernels.hash($0) }
        }
        try fuzz("block headers") { mutator in
            var bytes = mutator.bytes(sound)
            if bytes.count >= 128, mutator.below(4) > 0 {
                // As block.md has it: the header, and the statistics if it says that they follow.
                let rows = bytes[32..<36].reversed().reduce(0) { $0 << 8 | Int($1) }
                let count = bytes[56] & 1 == 1 ? rows * 16 : 0
                var sum = bytes[..<120].withUnsafeBytes { kernels.hash($0) }
                if count > 0, 128 + count <= bytes.count {
                    let statistics = bytes[128..<128 + count].withUnsafeBytes { kernels.hash($0) }
                    sum ^= statistics << 1 | statistics >> 63
                }
                for place in 0..<8 {
                    bytes[120 + place] = UInt8(truncatingIfNeeded: sum >> UInt64(8 * place))
                }
            }
            let header = try bytes.withUnsafeBytes {
                try BlockHeader(verifying: $0, at: key) { kernels.hash($0) }
            }
            #expect(header.key == key)
        }
    }

    @Test func columns() throws {
        let columns = [
            FieldColumn(
                firstRow: 3, values: .int([1, -5, 9]), isPresent: [true, false, true]),
            FieldColumn(
                firstRow: 0, values: .string(dictionary: ["a", "bc", ""], codes: [0, 1, 2, 1]),
                isPresent: [true, true, false, true]),
            FieldColumn(firstRow: 9, values: .bool([true, false]), isPresent: [true, true]),
            FieldColumn(firstRow: 9, values: .float([0.5, .nan]), isPresent: [true, true]),
        ].map { $0.encode() }
        try fuzz("columns") { mutator in
            let bytes = mutator.bytes(columns[mutator.below(columns.count)])
            let column = try FieldColumn(decoding: bytes, what: "a column")
            #expect(column.count == column.isPresent.count)
            // What was taken can be used: codes are indices.
            _ = column.encode()
        }
    }

    @Test func rowMaps() throws {
        let maps = try [[5, 6, 7, 8], [1, 9, 4, 100_000], [0]].map { try RowMap.encode($0) }
        let frame = try Zstd.compress([4, 0, 0, 0] + [UInt8](repeating: 1, count: 32))
        try fuzz("row maps") { mutator in
            var bytes: [UInt8]
            switch mutator.below(3) {
            case 0: bytes = mutator.bytes(maps[mutator.below(maps.count)])
            case 1: bytes = [2] + mutator.bytes(frame)
            default:
                // A sound frame around anything.
                let inner = mutator.bytes([4, 0, 0, 0] + [UInt8](repeating: 1, count: 32))
                bytes = [2] + (try Zstd.compress(inner))
            }
            let rows = try bytes.withUnsafeBytes {
                try RowMap.decode($0, count: 4, what: "a row map")
            }
            #expect(rows.count == 4)
        }
    }

    @Test func records() throws {
        let records = [
            RowRecord(id: .string("x/1"), values: [.int(5), nil, .string("text"), .bool(true)]),
            RowRecord(id: .int(-7), values: [nil, .float(0.25), .string(""), nil]),
        ].map { $0.encode() }
        try fuzz("row records") { mutator in
            let bytes = mutator.bytes(records[mutator.below(records.count)])
            let record = try bytes.withUnsafeBytes {
                try RowRecord(decoding: $0, fieldCount: 4, what: "a record")
            }
            #expect(record.values.count == 4)
            // What is taken has one form only.
            #expect(record.encode() == bytes)
        }
    }
}
