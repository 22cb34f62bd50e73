// Ingests through the library: numbering, checkpoints, snapshots, refusals that change nothing,
// and what a writer that died at each step leaves behind.

import Foundation
import GradDB
import Testing

@Suite struct IngestTests {
    private func table(_ rowGroup: Int = 4) throws -> TestDatabase {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t", layers: [.init(name: "grad", dims: 8, codec: .f32)],
            fields: [Field(name: "source", type: .string), Field(name: "n", type: .int)])
        schema.rowsPerGroup = rowGroup
        try database.create(schema)
        return database
    }

    private func rows(_ count: Int, from first: Int = 0) -> Matrix {
        (0..<count).map { row in (0..<8).map { Float((first + row) * 8 + $0) } }
    }

    private func metadata(_ ids: [String]) -> [String] {
        ids.enumerated().map { "{\"id\":\"\($1)\",\"source\":\"s\($0 % 3)\",\"n\":\($0)}" }
    }

    private func stored(_ view: TableView, _ id: RowID, checkpoint: String) throws -> [Float] {
        let row = try #require(try view.row(of: id))
        let document = try #require(view.checkpoint(named: checkpoint))
        let place = try #require(try view.location(of: row, in: document))
        let layer = view.table.layers[0]
        let encoding = try view.finestEncoding(of: layer)
        return try view.vector(layer, encoding, at: place).bytes.withUnsafeBytes { bytes in
            (0..<8).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
        }
    }

    @Test func rowsGetNumbersInTheOrderTheirIdsAreFirstSeen() throws {
        let database = try table()
        let result = try database.ingest(
            "t", ["grad": rows(3)], metadata: metadata(["b", "a", "c"]))
        #expect(result.snapshot == 1 && result.rows == 3 && result.newRows == 3)
        let view = try database.table("t").newest
        #expect(try view.row(of: .string("b")) == 0)
        #expect(try view.row(of: .string("a")) == 1)
        #expect(try view.row(of: .string("zzz")) == nil)
        #expect(try view.record(row: 2).values == [.string("s2"), .int(2)])
    }

    @Test func aSecondCheckpointInAnotherOrderIsAligned() throws {
        let database = try table()
        let ids = (0..<11).map { "id-\($0)" }
        try database.ingest("t", ["grad": rows(11)], checkpoint: "one", metadata: metadata(ids))
        let order = [7, 3, 10, 0, 1, 9, 2, 4, 8, 6, 5]
        let shuffled = order.map { "{\"id\":\"id-\($0)\"}" }
        let result = try database.ingest(
            "t", ["grad": order.map { rows(1, from: 100 + $0)[0] }], checkpoint: "two",
            metadata: shuffled)
        #expect(result.newRows == 0 && result.rows == 11)
        let view = try database.table("t").newest
        #expect(view.rowCount == 11)
        for i in 0..<11 {
            #expect(try view.row(of: .string("id-\(i)")) == UInt64(i))
            #expect(try stored(view, .string("id-\(i)"), checkpoint: "one") == rows(1, from: i)[0])
            #expect(
                try stored(view, .string("id-\(i)"), checkpoint: "two") == rows(1, from: 100 + i)[0]
            )
        }
    }

    @Test func automaticIdsCountPerCheckpoint() throws {
        let database = try table()
        try database.ingest("t", ["grad": rows(3)], checkpoint: "one")
        try database.ingest("t", ["grad": rows(2, from: 3)], checkpoint: "one")
        try database.ingest("t", ["grad": rows(5)], checkpoint: "two")
        let view = try database.table("t").newest
        #expect(view.rowCount == 5)
        for i in 0..<5 { #expect(try view.row(of: .int(Int64(i))) == UInt64(i)) }
    }

    @Test func oldSnapshotsStayAsTheyWere() throws {
        let database = try table()
        try database.ingest("t", ["grad": rows(3)], metadata: metadata(["a", "b", "c"]))
        try database.ingest("t", ["grad": rows(1, from: 3)], metadata: metadata(["d"]))
        let table = try database.table("t")
        let old = try table.view(snapshot: 1)
        #expect(old.rowCount == 3 && old.segments.count == 1)
        #expect(try old.row(of: .string("d")) == nil)
        #expect(try table.newest.row(of: .string("d")) == 3)
        #expect(try table.view(snapshot: 0).rowCount == 0)
    }

    @Test func resumeLeavesOutWhatIsThere() throws {
        let database = try table()
        try database.ingest("t", ["grad": rows(3)], metadata: metadata(["a", "b", "c"]))
        let more = try database.ingest(
            "t", ["grad": rows(5)], metadata: metadata(["a", "b", "c", "d", "e"]), resume: true)
        #expect(more.rows == 2 && more.skipped == 3 && more.snapshot == 2)
        let again = try database.ingest(
            "t", ["grad": rows(5)], metadata: metadata(["a", "b", "c", "d", "e"]), resume: true)
        #expect(again.rows == 0 && again.skipped == 5 && again.snapshot == 2)
        let view = try database.table("t").newest
        #expect(try stored(view, .string("e"), checkpoint: "c") == rows(1, from: 4)[0])
    }

    @Test func refusedIngestsChangeNothing() throws {
        let database = try table()
        try database.ingest("t", ["grad": rows(3)], metadata: metadata(["a", "b", "c"]))
        var bad = rows(6, from: 3)
        bad[5][2] = .nan
        let ids = ["d", "e", "f", "g", "h", "i"]
        func refused(_ fragment: String, _ body: () throws -> Void) throws {
            let error = #expect(throws: GradDBError.self) { try body() }
            #expect(error?.kind == .badInput)
            #expect(error?.message.contains(fragment) ?? false, "\(error?.message ?? "")")
            let view = try database.table("t").newest
            #expect(view.snapshot == 1 && view.rowCount == 3)
            #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
        }
        try refused("(id i)") {
            try database.ingest("t", ["grad": bad], metadata: metadata(ids))
        }
        try refused("id a already") {
            try database.ingest("t", ["grad": rows(2)], metadata: metadata(["d", "a"]))
        }
        try refused("id d already") {
            try database.ingest("t", ["grad": rows(2)], metadata: metadata(["d", "d"]))
        }
        try refused("ends after 1 rows") {
            try database.ingest("t", ["grad": rows(2)], metadata: metadata(["d"]))
        }
        try refused("only 1 vector rows") {
            try database.ingest("t", ["grad": rows(1)], metadata: metadata(["d", "e"]))
        }
        try refused("of type int") { try database.ingest("t", ["grad": rows(2)]) }
        try refused("no tensor") {
            try database.ingest("t", ["other": rows(1)], metadata: metadata(["d"]))
        }
        try refused("was set to 's0'") {
            try database.ingest(
                "t", ["grad": rows(1)], checkpoint: "two",
                metadata: ["{\"id\":\"a\",\"source\":\"changed\"}"])
        }
    }

    @Test func aCancelledIngestChangesNothing() throws {
        let database = try table()
        let cancellation = Cancellation()
        cancellation.cancel()
        let error = #expect(throws: GradDBError.self) {
            try database.ingest("t", ["grad": rows(100)], cancellation: cancellation)
        }
        #expect(error?.kind == .interrupted)
        #expect(try database.table("t").newest.snapshot == 0)
        try database.ingest("t", ["grad": rows(100)])
    }

    @Test func largeMetadataIsSpilledAndTakenBack() throws {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t", layers: [.init(name: "grad", dims: 1, codec: .f32)],
            fields: [Field(name: "text", type: .string)])
        schema.rowsPerGroup = 512
        try database.create(schema)
        // 40 MB of text: more than a batch holds.
        var random = SeededRandom(seed: 1)
        let lines = (0..<10_000).map { row in
            let text = (0..<250).map { _ in String(random.next(), radix: 16) }.joined()
            return "{\"id\":\(row),\"text\":\"\(text)\"}"
        }
        let grad: Matrix = lines.indices.map { [Float($0)] }
        var bad = grad
        bad[9_999][0] = .infinity
        #expect(throws: GradDBError.self) {
            try database.ingest("t", ["grad": bad], metadata: lines)
        }
        try expectNoTraces(database, rows: 0)
        try database.ingest("t", ["grad": grad], metadata: lines)
        #expect(try database.table("t").newest.rowCount == 10_000)
        #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
    }

    // MARK: what a dead writer leaves

    /// No key, record, column, row map, block or reservation beyond what is published.
    private func expectNoTraces(_ database: TestDatabase, rows: UInt64) throws {
        let store = try Database(path: database.path).store
        var found: [String] = []
        try store.forEach(.keys, prefix: []) { _, value in
            if value.loadUnaligned(as: UInt64.self) >= rows { found.append("key") }
            return true
        }
        try store.forEach(.rows, prefix: []) { key, _ in
            let row = UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
            if row >= rows { found.append("record") }
            return true
        }
        if rows == 0 {
            for family in [ColumnFamily.fields, .blocks] {
                try store.forEach(family, prefix: []) { _, _ in
                    found.append(family.rawValue)
                    return true
                }
            }
        }
        #expect(found.isEmpty)
        #expect(
            try Catalog(store).documents(Catalog.Key.reservations, as: ReservationDocument.self)
                .isEmpty)
    }

    @Test func theNextWriterRemovesWhatADeadOneLeft() throws {
        let database = try table()
        // A writer that reserved, spilled and attached, and then died before publishing.
        do {
            let writer = try DatabaseWriter(path: database.path)
            try writer.prepareStaging()
            let store = writer.store
            let batch = WriteBatch(store)
            try batch.put(
                Catalog.Key.reservation(1),
                document: ReservationDocument(table: 1, segments: 2, spilled: true))
            var counters = try writer.counters()
            counters.nextSegment = 3
            try batch.put(Catalog.Key.counters, document: counters)
            batch.put(.keys, Keys.id(table: 1, .string("ghost")), [UInt8](repeating: 0, count: 8))
            batch.put(
                .rows, Keys.row(table: 1, 0), RowRecord(id: .string("ghost"), values: []).encode())
            batch.put(.fields, Keys.column(table: 1, field: 0, firstRow: 0), [1])
            batch.put(.fields, Keys.rowMap(table: 1, segment: 1, rowGroup: 0), [1])
            try store.write(batch, sync: true)
            let sst = try SSTWriter(path: writer.stagingDirectory + "/ghost.sst")
            for segment in 1...2 as ClosedRange<UInt64> {
                let key = BlockKey(table: 1, segment: segment, rowGroup: 0, encoding: 0, slab: 0)
                try [UInt8](repeating: 9, count: 100).withUnsafeBytes {
                    try sst.put(key.bytes, $0)
                }
            }
            try sst.finish()
            try store.ingest([sst.path], into: .blocks)
        }
        // A reader does not see it ...
        let view = try database.table("t").newest
        #expect(view.rowCount == 0)
        #expect(try view.row(of: .string("ghost")) == nil)
        // ... and a writer removes it.
        _ = try DatabaseWriter(path: database.path)
        try expectNoTraces(database, rows: 0)
        #expect(!FileManager.default.fileExists(atPath: database.path + "/staging/ghost.sst"))
        try database.ingest("t", ["grad": rows(3)], metadata: metadata(["ghost", "b", "c"]))
        let after = try database.table("t").newest
        #expect(try after.row(of: .string("ghost")) == 0)
        #expect(after.segments[0].segment == 3)
    }

    @Test func aSecondWriterIsLockedOut() throws {
        let database = try table()
        let first = try DatabaseWriter(path: database.path)
        let error = #expect(throws: GradDBError.self) { try DatabaseWriter(path: database.path) }
        #expect(error?.kind == .locked)
        withExtendedLifetime(first) {}
    }

    @Test func aNewerFormatIsRefused() throws {
        let database = try table()
        func write(_ change: (inout DatabaseDocument) -> Void) throws {
            let store = try RocksStore(path: database.path, mode: .writing)
            var document = DatabaseDocument(created: "2026-01-01T00:00:00.000Z")
            change(&document)
            let batch = WriteBatch(store)
            try batch.put(Catalog.Key.database, document: document)
            try store.write(batch, sync: true)
        }
        func kinds() -> [GradDBError.Kind?] {
            [
                #expect(throws: GradDBError.self) { try Database(path: database.path) }?.kind,
                #expect(throws: GradDBError.self) { try DatabaseWriter(path: database.path) }?.kind,
            ]
        }
        try write { $0.formatVersion = 2 }
        #expect(kinds() == [.formatTooNew, .formatTooNew])
        try write { $0.readerFeatures = ["unheard-of"] }
        #expect(kinds() == [.formatTooNew, .formatTooNew])
        try write { $0.writerFeatures = ["unheard-of"] }
        _ = try Database(path: database.path)
        #expect(throws: GradDBError.self) { try DatabaseWriter(path: database.path) }
    }

    @Test func aDamagedBlockIsNamed() throws {
        let database = try table()
        try database.ingest("t", ["grad": rows(9)])
        // Overwrite one payload byte through RocksDB itself, so that only our checksum can tell.
        do {
            let store = try RocksStore(path: database.path, mode: .writing)
            let key = BlockKey(table: 1, segment: 1, rowGroup: 1, encoding: 0, slab: 0)
            var block = try #require(try store.get(.blocks, key.bytes))
            block[BlockLayout(rows: 4, stride: 32, hasStatistics: true).payloadOffset + 40] ^= 1
            let batch = WriteBatch(store)
            batch.put(.blocks, key.bytes, block)
            try store.write(batch, sync: true)
        }
        let reader = try Database(path: database.path)
        #expect(try Check(reader, deep: false, threads: 2).run().isOK)
        let report = try Check(reader, deep: true, threads: 2).run()
        #expect(report.problems.count == 1)
        #expect(report.problems.first?.message.contains("row group 1") ?? false)
    }
}
