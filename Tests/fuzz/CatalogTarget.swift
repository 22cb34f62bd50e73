// Catalog documents: an input takes the place of one of a database that has one of each kind; then
// everything is opened and looked at.
//
//   0  which document   1 … JSON; nothing: the document is missing
//
// What is scanned without JSONDecoder must be what JSONDecoder reads.

import Foundation
import GradDB

final class CatalogTarget: FuzzTarget {
    private let database: TestDatabase
    private let store: RocksStore
    private let documents: [(key: [UInt8], value: [UInt8])]

    let expected: Set<GradDBError.Kind> = [.corrupt, .formatTooNew, .usage]

    var seeds: [[UInt8]] {
        documents.indices.map { [UInt8($0)] + documents[$0].value }
    }

    init() throws {
        database = try SmallDatabase.everything()
        store = try RocksStore(path: database.path, mode: .writing)
        var documents: [(key: [UInt8], value: [UInt8])] = []
        try store.forEach(.catalog, prefix: []) { key, value in
            documents.append(([UInt8](key), [UInt8](value)))
            return true
        }
        self.documents = documents
    }

    func mutant(of input: [UInt8], _ mutator: inout Mutator) -> [UInt8]? {
        input.count > 1 ? [input[0]] + mutator.json(Array(input[1...])) : nil
    }

    func run(_ input: [UInt8]) throws {
        guard let which = input.first else { return }
        let bytes = Array(input[1...])
        let (key, sound) = documents[Int(which) % documents.count]
        compare(bytes, as: SegmentDocument.self)
        compare(bytes, as: SnapshotDocument.self)
        try write { bytes.isEmpty ? $0.delete(.catalog, key) : $0.put(.catalog, key, bytes) }
        defer { try? write { $0.put(.catalog, key, sound) } }
        try use()
    }

    private func write(_ body: (WriteBatch) -> Void) throws {
        let batch = WriteBatch(store)
        body(batch)
        try store.write(batch, sync: false)
    }

    private func compare<D: Decodable & Equatable>(_ bytes: [UInt8], as type: D.Type) {
        let read = bytes.withUnsafeBytes {
            try? DocumentJSON.decode($0, as: D.self, what: "a document")
        }
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let right = try? decoder.decode(D.self, from: Data(bytes))
        guard read == right else {
            report(
                "\(D.self): scanned as \(String(describing: read)), is \(String(describing: right))"
            )
        }
    }

    /// All that opening a table and looking at it does with documents.
    private func use() throws {
        let catalog = Catalog(store)
        try Database.checkFormat(catalog, path: database.path, writing: true)
        _ = try catalog.documents(Catalog.Key.reservations, as: ReservationDocument.self)
        _ = try catalog.document(Catalog.Key.counters, as: CountersDocument.self)
        for (_, document) in try catalog.documents(Catalog.Key.tables, as: TableDocument.self) {
            let table = try Table(document, in: store)
            for snapshot in [UInt64(0)] + table.snapshots.map(\.snapshot) {
                try use(try table.view(snapshot: snapshot))
            }
            for tag in table.tags.keys { _ = try table.view(tag: tag) }
        }
    }

    private func use(_ view: TableView) throws {
        _ = try view.deletedRows
        for checkpoint in view.checkpoints {
            _ = try view.rowCount(of: checkpoint)
            for unit in view.units(of: checkpoint).prefix(20) {
                _ = try view.rowMap(unit.segment, group: unit.group)
            }
        }
        for layer in view.table.layers {
            let finest = try view.finestEncoding(of: layer)
            _ = try view.table.codec(layer, finest.codec, try KernelSet.chosen())
            guard let checkpoint = view.newestCheckpoint, layer.dims < 1 << 16 else { continue }
            var floats = [Float](repeating: 0, count: layer.dims)
            let reader = try VectorReader(view, layer: layer, checkpoint: checkpoint)
            do {
                try floats.withUnsafeMutableBufferPointer {
                    try reader.read([.string("x1")], into: $0, threads: 1)
                }
            } catch let error as GradDBError where error.kind == .notFound {
                // Another number of rows, another checkpoint.
            }
        }
        if view.rowCount > 0 { _ = try view.record(row: 0) }
        for name in view.table.fields.map(\.name) + ["id"] where view.rowLimit < 1_000_000 {
            try ColumnReader(view).forEachRun([name]) { _, _ in }
        }
    }
}
