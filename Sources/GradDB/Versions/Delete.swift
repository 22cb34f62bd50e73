// Deletes: a snapshot without some rows. Nothing of them is removed; their content is taken from the
// sums of the snapshot, for which they are read once more.

/// What a commit that only makes a snapshot is told.
package struct SnapshotOptions: Sendable {
    package var message = ""
    /// A name for the new snapshot.
    package var tag: String?
    package var threads = 1

    package init() {}
}

package struct DeleteResult: Sendable {
    /// The new snapshot, or the newest existing one where nothing was deleted.
    package var snapshot: UInt64
    package var deleted: Int
    /// Rows that are left.
    package var rows: UInt64
    package var seconds: Double

    package init(snapshot: UInt64, deleted: Int, rows: UInt64, seconds: Double = 0) {
        self.snapshot = snapshot
        self.deleted = deleted
        self.rows = rows
        self.seconds = seconds
    }
}

extension DatabaseWriter {
    /// Commits a snapshot without `rows`, or changes nothing.
    ///
    /// - Parameters:
    ///   - rows: of the newest snapshot of `table`.
    ///   - table: as this writer gave it; no other commit came since.
    /// - Throws: `.interrupted`, `.corrupt`, `.io`.
    package func delete(
        _ rows: DeletedRows, from table: Table, options: SnapshotOptions,
        cancellation: Cancellation = Cancellation(), progress: (_ share: Double) -> Void = { _ in }
    ) throws -> DeleteResult {
        let started = ContinuousClock.now
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        let view = try table.newest
        var result = DeleteResult(
            snapshot: view.snapshot, deleted: rows.count, rows: view.rowCount)
        if rows.isEmpty {
            if let tag = options.tag { try self.tag(table.name, tag, snapshot: nil) }
        } else {
            try withCommit(to: table, segments: 0, cancellation: cancellation) { commit in
                var next = try NextSnapshot(
                    of: table, .delete, message: options.message, tag: options.tag)
                rows.forEachRow { next.deleted.insert($0) }
                next.sums -= try RowContent(view, options.threads, cancellation)
                    .sums(of: rows, progress)
                try cancellation.check()
                try commit.publish(next)
                result.snapshot = next.number
            }
            result.rows -= UInt64(rows.count)
        }
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }
}
