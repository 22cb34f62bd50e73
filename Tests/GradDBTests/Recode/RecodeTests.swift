// Recodes through the library: what is stored, what the documents say, and what is refused.

import GradDB
import Testing

@Suite struct RecodeTests {
    private static let dims = 5000

    /// Two segments of the layer `a`, in row groups of four, beside a small layer `b`.
    private func database(_ codec: CodecKind) throws -> TestDatabase {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t",
            layers: [
                .init(name: "b", dims: 8, codec: .int8),
                .init(name: "a", dims: Self.dims, codec: codec),
            ])
        schema.rowsPerGroup = 4
        try database.create(schema)
        var random = SeededRandom(seed: 11)
        for checkpoint in ["c", "d"] {
            try database.ingest(
                "t",
                [
                    "a": (0..<6).map { _ in random.vector(Self.dims) },
                    "b": (0..<6).map { _ in random.vector(8) },
                ], checkpoint: checkpoint)
        }
        return database
    }

    @discardableResult
    private func recode(
        _ database: TestDatabase, _ codec: CodecKind, beside: Bool = false,
        cancellation: Cancellation = .init(), progress: (RecodeProgress) -> Void = { _ in }
    ) throws -> RecodeResult {
        var options = RecodeOptions(layer: "a", codec: codec)
        options.beside = beside
        return try DatabaseWriter(path: database.path).recode(
            "t", options: options, cancellation: cancellation, progress: progress)
    }

    /// The rows of `a` at a checkpoint in one of its encodings.
    private func rows(
        _ view: TableView, _ encoding: LayerEncoding, checkpoint: String
    ) throws -> [TableView.StoredVector] {
        let document = try #require(view.checkpoint(named: checkpoint))
        return try (0..<view.rowCount).map { row in
            let place = try #require(try view.location(of: row, in: document))
            return try view.vector(view.table.layers[1], encoding, at: place)
        }
    }

    private static let pairs = CodecKind.allCases.flatMap { source in
        CodecKind.allCases.filter { $0 != source }.map { (source, $0) }
    }

    @Test(arguments: pairs)
    func rowsAreDecodedAndEncodedAgain(source: CodecKind, target: CodecKind) throws {
        let database = try database(source)
        try recode(database, target, beside: true)
        let view = try database.table("t").newest
        let layer = view.table.layers[1]
        let kernels = try KernelSet.chosen()
        let from = try view.table.codec(layer, source, kernels)
        let to = try view.table.codec(layer, target, kernels)
        let encodings = view.encodings(of: layer)
        let before = try #require(encodings.first { $0.codec == source })
        let after = try #require(encodings.first { $0.codec == target })
        for checkpoint in ["c", "d"] {
            let pairs = zip(
                try rows(view, before, checkpoint: checkpoint),
                try rows(view, after, checkpoint: checkpoint))
            for (old, new) in pairs {
                var floats = [Float](repeating: 0, count: layer.dims)
                var bytes = [UInt8](repeating: 0, count: to.rowBytes)
                let statistics = try floats.withUnsafeMutableBufferPointer { floats in
                    old.bytes.withUnsafeBytes { from.decode($0, old.statistics, into: floats) }
                    return try bytes.withUnsafeMutableBytes { try to.encode(floats, into: $0) }
                }
                #expect(new.bytes == bytes)
                #expect(new.statistics == statistics)
            }
        }
    }

    @Test func companionsAreAddedAndEncodingsKept() throws {
        let database = try database(.int8)
        let first = try recode(database, .bit, beside: true)
        #expect(first.codecs == [.int8, .bit] && first.rows == 12 && first.source == .int8)
        let last = try recode(database, .bit)
        #expect(last.codecs == [.bit] && last.rows == 0 && last.bytes == 0 && last.source == nil)
        let table = try database.table("t")
        #expect(table.allSegments.map(\.segment) == [1, 2, 3, 4])
        #expect(table.allSegments.map(\.base) == [nil, nil, 1, 2])
        #expect(try table.segmentCount == 2)
        #expect(
            table.layers[1].encodings == [
                LayerEncoding(number: 1, codec: .int8, snapshots: ranges(0, 4)),
                LayerEncoding(number: 2, codec: .bit, snapshots: ranges(3)),
            ])
        let codecs = try (2...4 as ClosedRange<UInt64>).map { snapshot in
            try table.view(snapshot: snapshot).encodings(of: table.layers[1]).map(\.codec)
        }
        #expect(codecs == [[.int8], [.int8, .bit], [.bit]])
        let sums = table.snapshots.map(\.bytes)
        #expect(sums[2] == sums[1] + first.bytes)
        #expect(try table.bytes == sums[3])
        let view = try table.newest
        let bit = try view.finestEncoding(of: table.layers[1])
        #expect(view.segments.map { view.segment(holding: bit, of: $0) } == [3, 4])
        let whole = try view.finestEncoding(of: table.layers[0])
        #expect(view.segments.map { view.segment(holding: whole, of: $0) } == [1, 2])
        #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
    }

    @Test func anInterruptedRecodeChangesNothing() throws {
        let database = try database(.f32)
        let cancellation = Cancellation()
        let error = #expect(throws: GradDBError.self) {
            try recode(database, .bit, cancellation: cancellation) {
                if $0.rows > 4 { cancellation.cancel() }
            }
        }
        #expect(error?.kind == .interrupted)
        let table = try database.table("t")
        #expect(table.newestSnapshot == 2 && table.codecs(of: table.layers[1]) == [.f32])
        try table.store.forEach(.blocks, prefix: Keys.segmentPrefix(table: 1, segment: 3)) { _, _ in
            Issue.record("a block was left behind")
            return false
        }
        #expect(try recode(database, .bit).snapshot == 3)
    }

    // MARK: documents that do not fit

    private func edit(
        _ database: TestDatabase, segment: UInt64, _ change: (inout SegmentDocument) -> Void
    ) throws {
        let store = try RocksStore(path: database.path, mode: .writing)
        let key = Catalog.Key.segment(1, segment)
        var document: SegmentDocument = try #require(try Catalog(store).document(key))
        change(&document)
        let batch = WriteBatch(store)
        try batch.put(key, document: document)
        try store.write(batch, sync: true)
    }

    private static let changes:
        [(name: String, change: @Sendable (inout SegmentDocument) -> Void)] =
            [
                ("no base of that number", { $0.base = 9 }),
                ("a companion as base", { $0.base = 3 }),
                ("fewer rows", { $0.rows = 5 }),
                ("another checkpoint", { $0.checkpoint = 0 }),
                ("an unknown encoding", { $0.encodings[0].encoding = 8 }),
                ("no encodings", { $0.encodings = [] }),
            ]

    @Test(arguments: changes.indices) func aCompanionThatDoesNotFitIsRefused(index: Int) throws {
        let database = try database(.int8)
        try recode(database, .bit)
        try edit(database, segment: 4, Self.changes[index].change)
        let error = #expect(throws: GradDBError.self, "\(Self.changes[index].name)") {
            try database.table("t")
        }
        #expect(error?.kind == .corrupt)
    }
}
