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
    /// Of all snapshots, with their companions.
    package let allSegments: [SegmentDocument]
    /// The segment that holds an encoding of a segment which lacks it.
    private let companions: [Holding: UInt64]
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
        companions = Dictionary(
            allSegments.flatMap { segment in
                segment.encodings.compactMap { encoding in
                    segment.base.map {
                        (Holding(segment: $0, encoding: encoding.encoding), segment.segment)
                    }
                }
            }, uniquingKeysWith: { first, _ in first })
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
        var numbers: Set<UInt32> = []
        for (index, layer) in document.layers.enumerated() {
            // The encodings of a snapshot can only run out where one is removed.
            let changes = [0] + layer.encodings.compactMap(\.removed)
            guard layer.number == UInt32(index), (1...TableSchema.maxDims).contains(layer.dims),
                layer.encodings.allSatisfy({
                    $0.number < .max && numbers.insert($0.number).inserted
                }),
                changes.allSatisfy({ !layer.encodings(in: $0).isEmpty })
            else { throw refuse("layer '\(layer.name)'") }
        }
        let bases = Dictionary(
            allSegments.filter { $0.base == nil }.map { ($0.segment, $0) },
            uniquingKeysWith: { first, _ in first })
        for segment in allSegments {
            guard segment.rows >= 1, segment.rowsPerGroup >= 1, segment.rows <= Int(UInt32.max),
                segment.rowGroups
                    == (segment.rows + segment.rowsPerGroup - 1) / segment.rowsPerGroup,
                segment.encodings.allSatisfy({ numbers.contains($0.encoding) })
            else { throw refuse("segment \(segment.segment)") }
            if let base = segment.base {
                guard let base = bases[base], segment.hasRows(of: base) else {
                    throw refuse("segment \(segment.segment) is no companion of its base")
                }
            } else {
                try requireEncodings(of: segment, refuse)
            }
        }
        guard head.snapshot > 0 else { return }
        let visible = bases.values.count { $0.added <= head.snapshot }
        guard let newest = snapshots.last, newest.snapshot == head.snapshot,
            newest.segments == visible
        else { throw refuse("snapshot \(head.snapshot) lacks segments") }
    }

    /// The blocks of every encoding that a snapshot has are in the segment or in a companion.
    private func requireEncodings(
        of segment: SegmentDocument, _ refuse: (String) -> GradDBError
    ) throws {
        let own = Set(segment.encodings.map(\.encoding))
        for layer in layers {
            for encoding in layer.encodings
            where !own.contains(encoding.number)
                && companions[Holding(segment: segment.segment, encoding: encoding.number)] == nil
            {
                // Not needed where it was gone before the segment came.
                guard let removed = encoding.removed, removed <= segment.added else {
                    throw refuse(
                        "segment \(segment.segment) lacks encoding \(encoding.number) "
                            + "(\(encoding.codec.rawValue)) of layer '\(layer.name)'")
                }
            }
        }
    }

    /// The number of the segment in whose blocks `segment`'s rows are in `encoding`.
    package func segment(holding encoding: LayerEncoding, of segment: SegmentDocument) -> UInt64 {
        companions[Holding(segment: segment.segment, encoding: encoding.number)] ?? segment.segment
    }

    private struct Holding: Hashable {
        var segment: UInt64
        var encoding: UInt32
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
            allSegments: allSegments.filter { $0.added <= number },
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

    package func codec(
        _ layer: Layer, _ kind: CodecKind, _ kernels: KernelSet
    ) throws -> any Codec {
        kind.codec(dims: layer.dims, seed: try layer.seedValue, kernels: kernels)
    }
}

extension SegmentDocument {
    /// Whether its row groups are those of `base`, one to one.
    fileprivate func hasRows(of base: SegmentDocument) -> Bool {
        checkpoint == base.checkpoint && rows == base.rows && rowsPerGroup == base.rowsPerGroup
            && firstRow == base.firstRow && lastRow == base.lastRow && added >= base.added
    }
}

/// A table in one snapshot: what queries run over. Immutable.
package struct TableView: Sendable {
    package let table: Table
    package let snapshot: UInt64
    /// Rows (ids) known in this snapshot: row numbers 0 ..< rowCount.
    package let rowCount: UInt64
    /// Without companions: every row of a checkpoint is in one of them.
    package let segments: [SegmentDocument]
    package let checkpoints: [CheckpointDocument]
    /// Bytes of its blocks, by encoding.
    package let bytesOfEncodings: [UInt32: UInt64]

    fileprivate init(
        table: Table, snapshot: UInt64, rowCount: UInt64, allSegments: [SegmentDocument],
        checkpoints: [CheckpointDocument]
    ) {
        self.table = table
        self.snapshot = snapshot
        self.rowCount = rowCount
        self.checkpoints = checkpoints
        segments = allSegments.filter { $0.base == nil }
        let active = table.layers.flatMap { $0.encodings(in: snapshot) }.map {
            ($0.number, 0 as UInt64)
        }
        bytesOfEncodings = allSegments.lazy.flatMap(\.encodings)
            .reduce(into: Dictionary(active, uniquingKeysWith: +)) { sums, part in
                sums[part.encoding]? &+= part.bytes
            }
    }

    /// The layer's encodings in this snapshot, finest first.
    package func encodings(of layer: Layer) -> [LayerEncoding] { layer.encodings(in: snapshot) }

    /// The encoding that scores, and gives the rows that become queries.
    package func finestEncoding(of layer: Layer) throws -> LayerEncoding {
        guard let finest = encodings(of: layer).first else {
            throw GradDBError.corrupt(
                "layer '\(layer.name)' of table '\(table.name)' has no encoding in snapshot "
                    + "\(snapshot)")
        }
        return finest
    }

    /// The number of the segment in whose blocks `segment`'s rows are in `encoding`.
    package func segment(holding encoding: LayerEncoding, of segment: SegmentDocument) -> UInt64 {
        table.segment(holding: encoding, of: segment)
    }

    /// Where a slab of a row group lies in one of the snapshot's encodings.
    package func blockKey(
        _ encoding: LayerEncoding, _ segment: SegmentDocument, group: Int, slab: Int
    ) -> BlockKey {
        BlockKey(
            table: table.document.table, segment: self.segment(holding: encoding, of: segment),
            rowGroup: UInt32(group), encoding: encoding.number, slab: UInt32(slab))
    }

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
            try RowMap.decode($0, count: segment.rows(ofGroup: group), what: what)
        }
        guard rows.allSatisfy({ $0 < rowCount }) else {
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
