// A table's state in one snapshot: its segments, checkpoints and encodings, and the rows they hold.

/// A table in one snapshot: what queries run over. Immutable.
package struct TableView: Sendable {
    package let table: Table
    package let snapshot: UInt64
    /// Rows (ids) known in this snapshot: row numbers 0 ..< rowCount.
    package let rowCount: UInt64
    /// Without companions: every row of a checkpoint is in one of them.
    package let segments: [SegmentDocument]
    package let checkpoints: [CheckpointDocument]
    package let preconditioners: [PreconditionerDocument]
    /// Bytes of its blocks, by encoding.
    package let bytesOfEncodings: [UInt32: UInt64]

    init(
        table: Table, snapshot: UInt64, rowCount: UInt64, allSegments: [SegmentDocument],
        checkpoints: [CheckpointDocument], preconditioners: [PreconditionerDocument]
    ) {
        self.table = table
        self.snapshot = snapshot
        self.rowCount = rowCount
        self.checkpoints = checkpoints
        self.preconditioners = preconditioners
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
