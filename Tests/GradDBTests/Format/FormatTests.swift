// Byte layouts: what is written reads back, and whatever is damaged is refused.

import GradDB
import Testing

@Suite struct FormatTests {
    private static let key = BlockKey(table: 1, segment: 2, rowGroup: 3, encoding: 0, slab: 0)

    /// A sealed block of the given shape, rows filled with random bytes.
    private func block(rows: Int, dims: Int, seed: UInt64) throws -> [UInt8] {
        let kernels = try KernelSet.chosen()
        let codec = CodecKind.int8.codec(dims: dims, seed: 1, kernels: kernels)
        let encoding = LayerEncoding(number: 0, codec: .int8, snapshots: SnapshotRanges(from: 0))
        let group = EncodedRowGroup()
        group.prepare(
            table: 1, segment: 2, rowGroup: 3, rows: rows,
            encodings: [TargetEncoding(encoding, layer: 0, codec: codec)])
        var random = SeededRandom(seed: seed)
        for row in 0..<rows {
            let bytes = (0..<codec.rowBytes).map { _ in UInt8.random(in: 0...255, using: &random) }
            bytes.withUnsafeBytes {
                group.store(
                    $0, RowStatistics(scale: Float(row), squaredNorm: Double(row) * 2),
                    encoding: 0, row: row)
            }
        }
        try group.seal(kernels: kernels, threads: 2)
        return [UInt8](group.block(group.slots[0]))
    }

    private func header(_ block: [UInt8]) throws -> BlockHeader {
        let kernels = try KernelSet.chosen()
        return try block.withUnsafeBytes {
            try BlockHeader(verifying: $0, at: Self.key, hash: kernels.hash)
        }
    }

    @Test(arguments: [(1, 1), (5, 7), (1024, 7), (9, 4096), (3, 5000)])
    func aHeaderReadsBack(rows: Int, dims: Int) throws {
        let block = try block(rows: rows, dims: dims, seed: 1)
        let header = try header(block)
        #expect(header.rows == UInt32(rows))
        #expect(header.dims == UInt32(min(dims, 4096)))
        #expect(header.minSquaredNorm == 0)
        #expect(header.maxSquaredNorm == Double(rows - 1) * 2)
    }

    @Test func everyFlippedBitOfHeaderAndStatisticsIsFound() throws {
        let block = try block(rows: 3, dims: 64, seed: 2)
        for position in 0..<BlockLayout.headerBytes + 3 * BlockLayout.statisticsBytesPerRow {
            for bit in 0..<8 {
                var damaged = block
                damaged[position] ^= 1 << UInt8(bit)
                #expect(throws: GradDBError.self, "byte \(position), bit \(bit)") {
                    try header(damaged)
                }
            }
        }
    }

    @Test func aBlockInTheWrongPlaceIsRefused() throws {
        let block = try block(rows: 3, dims: 64, seed: 3)
        let kernels = try KernelSet.chosen()
        var elsewhere = Self.key
        elsewhere.rowGroup = 4
        #expect(throws: GradDBError.self) {
            try block.withUnsafeBytes {
                try BlockHeader(verifying: $0, at: elsewhere, hash: kernels.hash)
            }
        }
    }

    @Test func truncatedBlocksAreRefused() throws {
        let block = try block(rows: 3, dims: 64, seed: 4)
        for count in 0..<BlockLayout.headerBytes + 48 {
            #expect(throws: GradDBError.self) { try header(Array(block[..<count])) }
        }
    }

    @Test func keysSortAsTheirNumbers() {
        let keys = [
            BlockKey(table: 1, segment: 1, rowGroup: 0, encoding: 0, slab: 255),
            BlockKey(table: 1, segment: 1, rowGroup: 0, encoding: 0, slab: 256),
            BlockKey(table: 1, segment: 1, rowGroup: 0, encoding: 1, slab: 0),
            BlockKey(table: 1, segment: 1, rowGroup: 1, encoding: 0, slab: 0),
            BlockKey(table: 1, segment: 256, rowGroup: 0, encoding: 0, slab: 0),
            BlockKey(table: 2, segment: 0, rowGroup: 0, encoding: 0, slab: 0),
        ]
        let bytes = keys.map(\.bytes)
        for (low, high) in zip(bytes, bytes.dropFirst()) {
            #expect(low.lexicographicallyPrecedes(high))
        }
        for key in keys {
            #expect(key.bytes.withUnsafeBytes { BlockKey(bytes: $0) } == key)
        }
    }

    @Test func integerIdsSortAsNumbers() {
        let ids: [Int64] = [.min, -5, -1, 0, 1, 255, 256, .max]
        let keys = ids.map { Keys.id(table: 1, .int($0)) }
        for (low, high) in zip(keys, keys.dropFirst()) {
            #expect(low.lexicographicallyPrecedes(high))
        }
    }

    @Test func prefixEndsAreTight() {
        #expect(Keys.end(ofPrefix: [1, 2]) == [1, 3])
        #expect(Keys.end(ofPrefix: [1, 0xFF]) == [2])
        #expect(Keys.end(ofPrefix: [0xFF, 0xFF]) == nil)
    }

    // MARK: values

    private static let columns: [FieldColumn] = [
        FieldColumn(firstRow: 7, values: .int([1, -2, .max]), isPresent: [true, false, true]),
        FieldColumn(firstRow: 0, values: .float([0.5, -1e300]), isPresent: [true, true]),
        FieldColumn(
            firstRow: 1, values: .bool((0..<19).map { $0 % 3 == 0 }),
            isPresent: (0..<19).map { $0 % 2 == 0 }),
        FieldColumn(
            firstRow: 9, values: .string(dictionary: ["", "é", "日本"], codes: [1, 0, 2, 1]),
            isPresent: [true, false, true, true]),
    ]

    @Test(arguments: columns) func columnsReadBack(column: FieldColumn) throws {
        #expect(try FieldColumn(decoding: column.encode(), what: "column") == column)
    }

    @Test(arguments: columns) func damagedColumnsNeverTrap(column: FieldColumn) {
        let bytes = column.encode()
        for count in bytes.indices {
            #expect(throws: GradDBError.self) {
                try FieldColumn(decoding: Array(bytes[..<count]), what: "column")
            }
        }
        for position in bytes.indices {
            for value: UInt8 in [0, 1, 0x7F, 0xFF] {
                var damaged = bytes
                damaged[position] = value
                // Anything but a trap: RocksDB's checksums find the damage, this only survives it.
                _ = try? FieldColumn(decoding: damaged, what: "column")
            }
        }
    }

    @Test func rowMapsReadBack() throws {
        for rows: [UInt64] in [[], [0], [5, 6, 7], [9, 3, .max, 0], [.max], [7, 6], [1, 3]] {
            let stored = try RowMap.encode(rows)
            #expect(
                try stored.withUnsafeBytes {
                    try RowMap.decode($0, count: rows.count, what: "map")
                } == rows)
        }
        // A run that would go beyond the last number there is; an unknown kind.
        for stored: [UInt8] in [
            [1, 2, 0, 0, 0] + [UInt8](repeating: 0xFF, count: 8), [3, 0, 0, 0, 0], [],
        ] {
            #expect(throws: GradDBError.self) {
                try stored.withUnsafeBytes { try RowMap.decode($0, count: 2, what: "map") }
            }
        }
    }

    @Test func rowRecordsReadBack() throws {
        let record = RowRecord(
            id: .string("a-1"), values: [.string("x"), nil, .float(1.5), .bool(true), .int(-3)])
        let decoded = try record.encode().withUnsafeBytes {
            try RowRecord(decoding: $0, fieldCount: 5, what: "record")
        }
        #expect(decoded == record)
        let bytes = record.encode()
        for count in bytes.indices.dropLast() {
            bytes[..<count].withUnsafeBytes { raw in
                _ = try? RowRecord(decoding: raw, fieldCount: 5, what: "record")
            }
        }
    }

    @Test func zstdRefusesGarbage() throws {
        let bytes = (0..<1000).map { UInt8($0 % 7) }
        let packed = try Zstd.compress(bytes)
        #expect(try packed.withUnsafeBytes { try Zstd.decompress($0, what: "x") } == bytes)
        for count in packed.indices {
            #expect(throws: GradDBError.self) {
                try packed[..<count].withUnsafeBytes { try Zstd.decompress($0, what: "x") }
            }
        }
    }
}
