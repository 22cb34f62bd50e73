// A table as the catalog describes it, and its state in one snapshot.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A table of a database opened for reading.
public struct Table: Sendable {
    package let store: RocksStore
    package let document: TableDocument
    package let head: HeadDocument
    private let allSegments: [SegmentDocument]
    private let allCheckpoints: [CheckpointDocument]
    /// Tags by name.
    public let tags: [String: UInt64]
    package let snapshots: [SnapshotDocument]

    package init(_ document: TableDocument, in store: RocksStore) throws {
        let catalog = Catalog(store)
        let number = document.table
        self.store = store
        self.document = document
        head = try catalog.document(Catalog.Key.head(number)) ?? HeadDocument()
        allSegments = try catalog.documents(Catalog.Key.segments(number)).map(\.document)
        allCheckpoints = try catalog.documents(Catalog.Key.checkpoints(number)).map(\.document)
        snapshots = try catalog.documents(Catalog.Key.snapshots(number)).map(\.document)
        tags = Dictionary(
            uniqueKeysWithValues: try catalog.documents(
                Catalog.Key.tags(number), as: TagDocument.self
            ).map { ($0.suffix, $0.document.snapshot) })
        try validate()
    }

    /// What the code relies on when it counts: whoever wrote the documents, they are only data.
    private func validate() throws {
        func refuse(_ what: String) -> GradDBError {
            .corrupt("the catalog of table '\(document.name)' is inconsistent: \(what)")
        }
        for (index, layer) in document.layers.enumerated() {
            guard layer.number == UInt32(index), (1...TableSchema.maxDims).contains(layer.dims)
            else { throw refuse("layer '\(layer.name)'") }
        }
        for segment in allSegments {
            guard segment.rows >= 1, segment.rowsPerGroup >= 1, segment.rows <= Int(UInt32.max),
                segment.rowGroups
                    == (segment.rows + segment.rowsPerGroup - 1) / segment.rowsPerGroup
            else { throw refuse("segment \(segment.segment)") }
        }
        guard head.snapshot > 0 else { return }
        let visible = allSegments.count { $0.added <= head.snapshot }
        guard let newest = snapshots.last, newest.snapshot == head.snapshot,
            newest.segments == visible
        else { throw refuse("snapshot \(head.snapshot) lacks segments") }
    }

    public var name: String { document.name }
    public var unit: RowUnit { document.unit }
    public var layers: [Layer] { document.layers }
    public var fields: [Field] { document.fields }
    /// Most rows in a row group.
    public var rowsPerGroup: Int { document.rowGroup }

    /// The newest state.
    package var newest: TableView {
        get throws { try view(snapshot: head.snapshot) }
    }

    /// The state in a snapshot; 0 is the empty table.
    ///
    /// - Throws: `.usage` for a snapshot that does not exist.
    package func view(snapshot number: UInt64) throws -> TableView {
        let document = snapshots.first { $0.snapshot == number }
        guard document != nil || number == 0 else {
            let known =
                snapshots.isEmpty
                ? "it has none yet" : "it has 0 to \(snapshots.last.map { $0.snapshot } ?? 0)"
            throw GradDBError.usage("table '\(name)' has no snapshot \(number); \(known)")
        }
        return TableView(
            table: self, snapshot: number, rowCount: document?.nextRow ?? 0,
            segments: allSegments.filter { $0.added <= number },
            checkpoints: allCheckpoints.filter { $0.added <= number })
    }

    /// The state that a tag names.
    package func view(tag: String) throws -> TableView? {
        try tags[tag].map { try view(snapshot: $0) }
    }

    /// The newest state that was committed at `time` or before; nil when none was.
    package func view(time: Date) throws -> TableView? {
        // Up to the first later one: a clock that was set back must not show what came after it.
        let before = snapshots.prefix { snapshot in
            Timestamp.parse(snapshot.time).map { $0 <= time } ?? false
        }
        return try before.last.map { try view(snapshot: $0.snapshot) }
    }

    package func codec(_ layer: Layer, _ kernels: KernelSet) throws -> any Codec {
        layer.codec.codec(dims: layer.dims, seed: try layer.seedValue, kernels: kernels)
    }
}

/// A table in one snapshot: what queries run over. Immutable.
package struct TableView: Sendable {
    package let table: Table
    package let snapshot: UInt64
    /// Rows (ids) known in this snapshot: row numbers 0 ..< rowCount.
    package let rowCount: UInt64
    package let segments: [SegmentDocument]
    package let checkpoints: [CheckpointDocument]

    package var store: RocksStore { table.store }

    /// The checkpoint made last, which queries take when they name none.
    package var newestCheckpoint: CheckpointDocument? {
        checkpoints.max { $0.checkpoint < $1.checkpoint }
    }

    /// Names are equal when their bytes are.
    package func checkpoint(named name: String) -> CheckpointDocument? {
        checkpoints.first { $0.name.utf8.elementsEqual(name.utf8) }
    }

    package func segments(of checkpoint: CheckpointDocument) -> [SegmentDocument] {
        segments.filter { $0.checkpoint == checkpoint.checkpoint }
    }

    package func rowCount(of checkpoint: CheckpointDocument) -> Int {
        segments(of: checkpoint).reduce(0) { $0 + $1.rows }
    }

    /// The row numbers of one row group, in stored order.
    package func rowMap(_ segment: SegmentDocument, group: Int) throws -> [UInt64] {
        let what = "the row map of segment \(segment.segment), row group \(group),"
        let key = Keys.rowMap(
            table: table.document.table, segment: segment.segment, rowGroup: UInt32(group))
        guard let value = try store.pinned(.fields, key) else {
            throw GradDBError.corrupt("\(what) is missing")
        }
        let rows = try value.withBytes {
            try RowMap.decode(try Zstd.decompress($0, what: what), what: what)
        }
        guard rows.count == segment.rows(ofGroup: group), rows.allSatisfy({ $0 < rowCount }) else {
            throw GradDBError.corrupt("\(what) does not fit the table's rows")
        }
        return rows
    }

    /// The row number of an id; nil when this snapshot does not have it.
    package func row(of id: RowID) throws -> UInt64? {
        let key = Keys.id(table: table.document.table, id)
        guard let row = try store.get(.keys, key)?.withUnsafeBytes(Keys.rowNumber) else {
            return nil
        }
        // Rows beyond the count belong to later snapshots, or to a writer that has not committed.
        return row < rowCount ? row : nil
    }

    /// A row's id and fields.
    package func record(row: UInt64) throws -> RowRecord {
        let what = "the record of row \(row) in table '\(table.name)'"
        guard
            let value = try store.pinned(.rows, Keys.row(table: table.document.table, row))
        else { throw GradDBError.corrupt("\(what) is missing") }
        return try value.withBytes {
            try RowRecord(decoding: $0, fieldCount: table.fields.count, what: what)
        }
    }
}
