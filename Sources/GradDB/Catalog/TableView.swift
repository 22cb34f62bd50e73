// A table's state in one snapshot: its segments, checkpoints and encodings, and the rows they hold.

import Synchronization

/// A table in one snapshot: what queries run over. Immutable.
package struct TableView: Sendable {
    package let table: Table
    package let snapshot: UInt64
    /// Nil for the empty table, snapshot 0.
    package let document: SnapshotDocument?
    /// Its rows have numbers below this; some of those may be deleted.
    package let rowLimit: UInt64
    /// Without companions: every row of a checkpoint is in one of them.
    package let segments: [SegmentDocument]
    package let checkpoints: [CheckpointDocument]
    package let preconditioners: [PreconditionerDocument]
    /// Bytes of its blocks, by encoding.
    package let bytesOfEncodings: [UInt32: UInt64]
    private let rows = ViewRows()

    init(
        table: Table, snapshot: UInt64, document: SnapshotDocument?, allSegments: [SegmentDocument],
        checkpoints: [CheckpointDocument], preconditioners: [PreconditionerDocument]
    ) {
        self.table = table
        self.snapshot = snapshot
        self.document = document
        rowLimit = document?.nextRow ?? 0
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

    /// Vectors of a checkpoint in its segments, those of deleted rows included.
    package func storedRowCount(of checkpoint: CheckpointDocument) -> Int {
        segments(of: checkpoint).reduce(0) { $0 + $1.rows }
    }

    /// The row numbers of one row group, in stored order; those of deleted rows are among them.
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
        guard rows.allSatisfy({ $0 < rowLimit }) else {
            throw GradDBError.corrupt("\(what) does not fit the table's rows")
        }
        return rows
    }

    /// The row number of an id; nil when this snapshot does not have it.
    package func row(of id: RowID) throws -> UInt64? {
        let key = Keys.id(table: table.document.table, id)
        guard let value = try store.get(.keys, key) else { return nil }
        guard let numbers = value.withUnsafeBytes(Keys.rowNumbers) else {
            throw GradDBError.corrupt("the key of id \(id) in table '\(table.name)' is malformed")
        }
        // Rows beyond the limit belong to later snapshots, or to a writer that has not committed.
        let deleted = try deletedRows
        return numbers.last { $0 < rowLimit && !deleted.contains($0) }
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

// MARK: rows that are there

/// What is found out of a view's rows when it is first asked for.
private final class ViewRows: Sendable {
    struct Found {
        var deleted: DeletedRows?
        var live: RowSet?
        /// By checkpoint.
        var counts: [UInt32: Int] = [:]
    }

    let found = Mutex(Found())
}

extension TableView {
    /// How many rows (ids) the snapshot has.
    package var rowCount: UInt64 { document?.rows ?? 0 }

    /// Whether rows below the limit are deleted.
    package var hasDeletedRows: Bool { document.map { $0.deleted > 0 } ?? false }

    /// The rows below the limit that the snapshot does not have.
    package var deletedRows: DeletedRows {
        get throws {
            guard let document, document.deleted > 0 else { return DeletedRows() }
            return try rows.found.withLock { found in
                if let deleted = found.deleted { return deleted }
                let deleted = try DeletedRows(
                    store, table: table.document.table, in: snapshot)
                guard UInt64(deleted.count) == document.deleted else {
                    throw GradDBError.corrupt(
                        "snapshot \(snapshot) of table '\(table.name)' has \(deleted.count) deleted "
                            + "rows, not \(document.deleted)")
                }
                found.deleted = deleted
                return deleted
            }
        }
    }

    /// Goes on with these as the deleted rows, whatever is stored.
    func assume(deleted: DeletedRows) { rows.found.withLock { $0.deleted = deleted } }

    /// The rows that the snapshot has; nil where that is all below the limit.
    package var liveRows: RowSet? {
        get throws {
            guard hasDeletedRows else { return nil }
            let deleted = try deletedRows
            return rows.found.withLock { found in
                if let live = found.live { return live }
                let live = deleted.liveRows(below: rowLimit)
                found.live = live
                return live
            }
        }
    }

    /// Rows that have vectors at a checkpoint.
    package func rowCount(of checkpoint: CheckpointDocument) throws -> Int {
        guard let live = try liveRows else { return storedRowCount(of: checkpoint) }
        if let count = rows.found.withLock({ $0.counts[checkpoint.checkpoint] }) { return count }
        var count = 0
        for segment in segments(of: checkpoint) {
            for group in 0..<segment.rowGroups {
                count += try rowMap(segment, group: group).count(where: live.contains)
            }
        }
        rows.found.withLock { $0.counts[checkpoint.checkpoint] = count }
        return count
    }
}
