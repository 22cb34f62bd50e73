// Opening a table costs little, however many segments, snapshots and blocks it has: 1,000,000 blocks in
// 10,000 segments nightly, a twentieth of that otherwise. The documents and table files are written
// here, without ingesting anything; how long opening takes is printed (docs/measurements.md).

import Foundation
import GradDB
import Testing

@Suite(.serialized) struct LargeCatalogTests {
    private static let groups = 100
    private static let encoding: UInt32 = 0

    /// A table with a segment for each snapshot, each with a file of a hundred blocks of one row.
    private struct Scene {
        let directory: String
        var path: String { directory + "/db" }
        let segments: Int

        init(segments: Int) throws {
            // Thousands of files that nobody needs to be durable.
            let memory = "/dev/shm"
            let root =
                FileManager.default.isWritableFile(atPath: memory)
                ? memory : NSTemporaryDirectory()
            directory = root + "/graddb-test-" + UUID().uuidString
            self.segments = segments
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true)
            try Database.create(at: path)
            do {
                let writer = try DatabaseWriter(path: path)
                var schema = TableSchema(
                    name: "t", layers: [.init(name: "a", dims: 1, codecs: [.f32])], fields: [])
                schema.rowsPerGroup = 1
                try writer.createTable(schema)
            }
            let store = try RocksStore(path: path, mode: .writing)
            try store.ingest(
                try (1...segments).map { try writeBlocks(UInt64($0)) }, into: .blocks)
            try writeDocuments(store)
            try store.flushAll()
        }

        func remove() { try? FileManager.default.removeItem(atPath: directory) }

        private func writeBlocks(_ segment: UInt64) throws -> String {
            let kernels = try KernelSet.chosen()
            let path = directory + "/\(segment).sst"
            let writer = try SSTWriter(path: path)
            let layout = BlockLayout(rows: 1, stride: 4, hasStatistics: true)
            var block = [UInt8](repeating: 0, count: layout.byteCount)
            for group in 0..<UInt32(LargeCatalogTests.groups) {
                let key = BlockKey(
                    table: 1, segment: segment, rowGroup: group,
                    encoding: LargeCatalogTests.encoding, slab: 0)
                try block.withUnsafeMutableBytes { bytes in
                    let value = Float(segment) + Float(group) / 128
                    bytes.storeBytes(
                        of: value.bitPattern, toByteOffset: layout.payloadOffset, as: UInt32.self)
                    let chunk = UnsafeRawBufferPointer(
                        rebasing: bytes[layout.payloadOffset..<layout.payloadOffset + 4])
                    bytes.storeBytes(
                        of: kernels.hash(chunk), toByteOffset: layout.checksumsOffset,
                        as: UInt64.self)
                    BlockHeader(
                        codec: CodecKind.f32.number, key: key, dims: 1, firstDim: 0,
                        layout: layout, squaredNorms: 0...0
                    ).write(to: bytes) { kernels.hash($0) }
                    try writer.put(key.bytes, UnsafeRawBufferPointer(bytes))
                }
            }
            try writer.finish()
            return path
        }

        private func writeDocuments(_ store: RocksStore) throws {
            let batch = WriteBatch(store)
            func put(_ key: String, _ json: String) {
                batch.put(.catalog, Array(key.utf8), Array(json.utf8))
            }
            let bytes =
                LargeCatalogTests.groups
                * BlockLayout(rows: 1, stride: 4, hasStatistics: true).byteCount
            for segment in 1...UInt64(segments) {
                let first = (segment - 1) * UInt64(LargeCatalogTests.groups)
                let next = first + UInt64(LargeCatalogTests.groups)
                put(
                    Catalog.Key.segment(1, segment),
                    """
                    {"checkpoint":0,"encodings":[{"bytes":\(bytes),"encoding":0}],\
                    "first_row":\(first),"last_row":\(next - 1),"row_groups":\(LargeCatalogTests.groups),\
                    "rows":\(LargeCatalogTests.groups),"rows_per_group":1,"segment":\(segment),\
                    "snapshots":[[\(segment)]]}
                    """)
                put(
                    Catalog.Key.snapshot(1, segment),
                    """
                    {"bytes":\(UInt64(bytes) * segment),"checkpoint":0,"deleted":0,\
                    "hash":"0123456789abcdef","message":"","next_row":\(next),\
                    "operation":"ingest","parent":\(segment - 1),"segments":\(segment),\
                    "snapshot":\(segment),"sums":{"encodings":[{"encoding":0,\
                    "sum":"0123456789abcdef"}],"records":"0123456789abcdef"},\
                    "time":"2026-01-31T12:00:00.000Z"}
                    """)
                for group in 0..<UInt32(LargeCatalogTests.groups) {
                    let row = first + UInt64(group)
                    batch.put(
                        .fields, Keys.rowMap(table: 1, segment: segment, rowGroup: group),
                        try RowMap.encode([row]))
                }
                if batch.byteCount > 1 << 20 {
                    try store.write(batch, sync: false)
                    batch.clear()
                }
            }
            var ids = ColumnBuilder(type: .int, firstRow: 0)
            for row in 0..<segments * LargeCatalogTests.groups {
                ids.append(.int(Int64(row)))
                guard ids.isFull || row == segments * LargeCatalogTests.groups - 1,
                    let column = ids.take()
                else { continue }
                batch.put(
                    .fields,
                    Keys.column(
                        table: 1, field: RowRegistry.idColumn, firstRow: column.firstRow),
                    try Zstd.compress(column.encode()))
            }
            put(
                Catalog.Key.checkpoint(1, 0),
                "{\"checkpoint\":0,\"name\":\"c\",\"snapshots\":[[1]]}")
            put(
                Catalog.Key.head(1),
                """
                {"id_type":"int","next_checkpoint":1,"next_row":\(segments * LargeCatalogTests.groups),\
                "snapshot":\(segments)}
                """)
            try store.write(batch, sync: true)
        }
    }

    /// Of this process, in memory.
    private static func residentBytes() -> Int {
        let fields = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?
            .split(separator: " ")
        return (fields.flatMap { $0.count > 1 ? Int($0[1]) : nil } ?? 0) * 4096
    }

    @Test func aTableOfManySegmentsOpensAndItsBlocksAreFound() throws {
        let count = TestScale.factor >= 10 ? 10_000 : 500
        let scene = try Scene(segments: count)
        defer { scene.remove() }
        let clock = ContinuousClock()
        for round in 0..<3 {
            let before = Self.residentBytes()
            var view: TableView?
            var store: RocksStore?
            let opening = try clock.measure { store = try Database(path: scene.path).store }
            let reading = try clock.measure {
                view = try Database.table(named: "t", in: try #require(store))
            }
            let grown = Self.residentBytes() - before
            print(
                "opening \(count * Self.groups) blocks in \(count) segments: \(opening) for files, "
                    + "\(reading) for documents, \(grown >> 20) MiB")
            let found = try #require(view)
            #expect(found.segments.count == count && found.rowLimit == UInt64(count * Self.groups))
            // Nothing is read of files of blocks; documents are some hundred bytes each.
            if round == 0 { #expect(grown < 64 << 20 + count * 8_192) }
            let units = found.units(of: try #require(found.newestCheckpoint))
            #expect(units.count == count * Self.groups)
            let kernels = try KernelSet.chosen()
            let codec = try found.table.codec(found.table.layers[0], .f32, kernels)
            for _ in 0..<200 {
                let unit = try #require(units.randomElement())
                let key = BlockKey(
                    table: 1, segment: unit.segment.segment, rowGroup: UInt32(unit.group),
                    encoding: Self.encoding, slab: 0)
                let block = try BlockReader(
                    found.store, key, rows: 1, codec: codec, kind: .f32, kernels: kernels)
                let value = try block.row(0, kernels: kernels).withUnsafeBytes {
                    Float(bitPattern: $0.loadUnaligned(as: UInt32.self))
                }
                #expect(value == Float(key.segment) + Float(key.rowGroup) / 128)
            }
        }
    }
}

extension Database {
    fileprivate static func table(named name: String, in store: RocksStore) throws -> TableView {
        let document = try Catalog(store).document(
            Catalog.Key.table(name), as: TableDocument.self)
        return try Table(try #require(document), in: store).newest
    }
}
