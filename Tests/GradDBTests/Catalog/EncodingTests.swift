// Layers with several encodings: which of them a snapshot has, and that each is stored as if it
// were the only one.

import Foundation
import GradDB
import Testing

@Suite struct EncodingTests {
    private static let dims = 5000

    private func database(_ codecs: [CodecKind]...) throws -> TestDatabase {
        let database = try TestDatabase()
        for (index, codecs) in codecs.enumerated() {
            var schema = TableSchema(
                name: "t\(index)",
                layers: [
                    .init(name: "a", dims: Self.dims, codecs: codecs),
                    .init(name: "b", dims: 33, codecs: codecs),
                ])
            schema.rowsPerGroup = 4
            try database.create(schema)
        }
        return database
    }

    private func ingest(into tables: [String], of database: TestDatabase) throws {
        for table in tables {
            var random = SeededRandom(seed: 3)
            try database.ingest(
                table,
                [
                    "a": (0..<7).map { _ in random.vector(Self.dims) },
                    "b": (0..<7).map { _ in random.vector(33) },
                ])
        }
    }

    @Test func aSnapshotHasWhatWasAddedAndNotYetRemovedFinestFirst() {
        let layer = Layer(
            number: 0, name: "grad", dims: 8,
            encodings: [
                LayerEncoding(number: 0, codec: .int4, snapshots: ranges(0, 5)),
                LayerEncoding(number: 2, codec: .bit, snapshots: ranges(3)),
                LayerEncoding(number: 7, codec: .f16, snapshots: ranges(5)),
            ], seed: 1)
        let expected: [UInt64: [UInt32]] = [0: [0], 2: [0], 3: [0, 2], 4: [0, 2], 5: [7, 2]]
        for (snapshot, numbers) in expected {
            #expect(layer.encodings(in: snapshot).map(\.number) == numbers)
        }
    }

    @Test func encodingNumbersAreUniqueInATable() throws {
        let database = try database([.bit, .f32, .int8])
        let table = try database.table("t0")
        #expect(table.layers.flatMap(\.encodings).map(\.number) == [0, 1, 2, 3, 4, 5])
        #expect(table.codecs(of: table.layers[1]) == [.f32, .int8, .bit])
        #expect(table.document.nextEncoding == 6)
    }

    @Test func everyEncodingIsStoredAsIfItWereTheOnlyOne() throws {
        let all = CodecKind.allCases
        let database = try TestDatabase()
        let together = TableSchema(
            name: "together", layers: [.init(name: "a", dims: Self.dims, codecs: all)])
        try database.create(together)
        var random = SeededRandom(seed: 4)
        let rows = (0..<5).map { _ in random.vector(Self.dims) }
        try database.ingest("together", ["a": rows])
        let view = try database.table("together").newest
        let layer = view.table.layers[0]
        let checkpoint = try #require(view.newestCheckpoint)
        for encoding in view.encodings(of: layer) {
            let name = encoding.codec.rawValue
            try database.create(
                TableSchema(
                    name: name, layers: [.init(name: "a", dims: Self.dims, codec: encoding.codec)]))
            try database.ingest(name, ["a": rows])
            let alone = try database.table(name).newest
            let only = try alone.finestEncoding(of: alone.table.layers[0])
            let there = try #require(alone.newestCheckpoint)
            for row in 0..<UInt64(rows.count) {
                let one = try view.vector(
                    layer, encoding, at: try #require(try view.location(of: row, in: checkpoint)))
                let other = try alone.vector(
                    alone.table.layers[0], only,
                    at: try #require(try alone.location(of: row, in: there)))
                #expect(one.bytes == other.bytes)
                #expect(one.statistics == other.statistics)
            }
            #expect(view.bytesOfEncodings[encoding.number] == (try alone.table.bytes))
        }
        #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
    }

    /// Changes a document behind the engine's back.
    private func edit<D: Codable>(
        _ database: TestDatabase, _ key: String, _ change: (inout D) -> Void
    ) throws {
        let store = try RocksStore(path: database.path, mode: .writing)
        var document: D = try #require(try Catalog(store).document(key))
        change(&document)
        let batch = WriteBatch(store)
        try batch.put(key, document: document)
        try store.write(batch, sync: true)
    }

    private func isRefused(_ database: TestDatabase, _ word: String) -> Bool {
        let error = #expect(throws: GradDBError.self) { try database.table("t0") }
        return error?.kind == .corrupt && error?.message.contains(word) ?? false
    }

    @Test func aSegmentThatLacksAnEncodingIsRefused() throws {
        let database = try database([.int8, .bit])
        try ingest(into: ["t0"], of: database)
        try edit(database, Catalog.Key.segment(1, 1)) { (segment: inout SegmentDocument) in
            segment.encodings.removeLast()
        }
        #expect(isRefused(database, "lacks encoding 3 (bit) of layer 'b'"))
    }

    @Test func aSegmentNeedsNoEncodingThatWentBeforeItCame() throws {
        let database = try database([.int8, .bit])
        try ingest(into: ["t0"], of: database)
        try edit(database, Catalog.Key.table("t0")) { (table: inout TableDocument) in
            table.layers[1].encodings[1].snapshots.set(false, from: 1)
        }
        try edit(database, Catalog.Key.segment(1, 1)) { (segment: inout SegmentDocument) in
            segment.encodings.removeLast()
        }
        #expect(try database.table("t0").segmentCount == 1)
    }

    @Test func aLayerWithoutAnyEncodingIsRefused() throws {
        let database = try database([.int8])
        try edit(database, Catalog.Key.table("t0")) { (table: inout TableDocument) in
            table.layers[0].encodings[0].snapshots.set(false, from: 3)
        }
        #expect(isRefused(database, "layer 'a'"))
    }

    @Test func twoEncodingsOfOneNumberAreRefused() throws {
        let database = try database([.int8])
        try edit(database, Catalog.Key.table("t0")) { (table: inout TableDocument) in
            table.layers[1].encodings[0].number = 0
        }
        #expect(isRefused(database, "layer 'b'"))
    }
}
