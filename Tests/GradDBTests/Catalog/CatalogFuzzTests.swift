// A database whose catalog documents say anything at all opens, or is refused with an error; it crashes
// nothing, whatever is then asked of it. RocksDB's checksums keep damage out of documents: this is about
// those that were written so.

import Foundation
import GradDB
import Testing

@Suite struct CatalogFuzzTests {
    /// A table with everything that documents speak of.
    private func scene() throws -> TestDatabase {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t",
            layers: [.init(name: "a", dims: 20, codecs: [.f32]), .init(name: "b", dims: 40)],
            fields: [Field(name: "source", type: .string)])
        schema.rowsPerGroup = 4
        try database.create(schema)
        var random = SeededRandom(seed: 5)
        for checkpoint in ["c", "d"] {
            try database.ingest(
                "t",
                [
                    "a": (0..<10).map { _ in random.vector(20) },
                    "b": (0..<10).map { _ in random.vector(40) },
                ], checkpoint: checkpoint,
                metadata: (0..<10).map { "{\"id\": \"x\($0)\", \"source\": \"s\"}" })
        }
        let writer = try DatabaseWriter(path: database.path)
        var recode = RecodeOptions(layer: "b", codec: .bit)
        recode.beside = true
        recode.tag = "coarse"
        _ = try writer.recode("t", options: recode)
        _ = try writer.precondition("t", options: PreconditionOptions(name: "p"))
        var gone = DeletedRows()
        gone.insert(3)
        _ = try writer.delete(gone, from: try writer.table("t"), options: SnapshotOptions())
        return database
    }

    /// All that opening a table and looking at it does with documents.
    private func use(_ store: RocksStore, path: String) throws {
        let catalog = Catalog(store)
        try Database.checkFormat(catalog, path: path, writing: true)
        _ = try catalog.documents(
            Catalog.Key.reservations, as: ReservationDocument.self)
        _ = try catalog.document(Catalog.Key.counters, as: CountersDocument.self)
        for (_, document) in try catalog.documents(
            Catalog.Key.tables, as: TableDocument.self)
        {
            let table = try Table(document, in: store)
            for snapshot in [UInt64(0)] + table.snapshots.map(\.snapshot) {
                let view = try table.view(snapshot: snapshot)
                _ = try view.deletedRows
                _ = view.bytesOfEncodings
                for checkpoint in view.checkpoints {
                    _ = try view.rowCount(of: checkpoint)
                    for unit in view.units(of: checkpoint).prefix(20) {
                        _ = try view.rowMap(unit.segment, group: unit.group)
                    }
                }
                for layer in view.table.layers {
                    let finest = try view.finestEncoding(of: layer)
                    _ = try table.codec(layer, finest.codec, try KernelSet.chosen())
                }
                if view.rowCount > 0 { _ = try view.record(row: 0) }
                for name in table.fields.map(\.name) + ["id"] where view.rowLimit < 1_000_000 {
                    try ColumnReader(view).forEachRun([name]) { _, _ in }
                }
            }
            for tag in table.tags.keys { _ = try table.view(tag: tag) }
        }
    }

    @Test func noDocumentsCrashWhatReadsThem() throws {
        let seed = TestScale.seed(of: "fuzz of catalog documents")
        var mutator = Mutator(seed: seed)
        let database = try scene()
        let store = try RocksStore(path: database.path, mode: .writing)
        var documents: [(key: [UInt8], value: [UInt8])] = []
        try store.forEach(.catalog, prefix: []) { key, value in
            documents.append(([UInt8](key), [UInt8](value)))
            return true
        }
        #expect(documents.count >= 15)
        try use(store, path: database.path)
        let end = ContinuousClock.now + .seconds(TestScale.fuzzSeconds)
        var counts = (taken: 0, refused: 0)
        while ContinuousClock.now < end {
            let batch = WriteBatch(store)
            let restore = WriteBatch(store)
            for _ in 0..<1 + mutator.below(2) {
                let (key, value) = documents[mutator.below(documents.count)]
                if mutator.below(12) == 0 {
                    batch.delete(.catalog, key)
                } else {
                    batch.put(.catalog, key, mutator.json(value))
                }
                restore.put(.catalog, key, value)
            }
            try store.write(batch, sync: false)
            do {
                try use(store, path: database.path)
                counts.taken += 1
            } catch let error as GradDBError {
                counts.refused += 1
                #expect(
                    [.corrupt, .formatTooNew, .usage].contains(error.kind),
                    "seed \(seed): \(error)")
            }
            try store.write(restore, sync: false)
        }
        print("fuzz of catalog documents: \(counts)")
        #expect(min(counts.taken, counts.refused) > 0)
    }
}
