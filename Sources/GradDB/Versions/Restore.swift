// Restores: a snapshot that equals an older one. What that one has gets a new range of snapshots, what
// it has not loses the newest ones; rows that came later are deleted.

package struct RestoreResult: Sendable {
    package var snapshot: UInt64
    /// The one that it equals.
    package var restored: UInt64
    package var rows: UInt64
    package var bytes: UInt64
    package var hash: String
    package var seconds: Double
}

extension DatabaseWriter {
    /// Commits a snapshot that equals the one that `name` names: a number, a tag or a time.
    ///
    /// - Throws: `.usage` where there is none; `.corrupt`, `.io`.
    package func restore(
        _ tableName: String, to name: String, options: SnapshotOptions
    ) throws -> RestoreResult {
        let started = ContinuousClock.now
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        let table = try self.table(tableName)
        let view = try table.view(named: name)
        try withCommit(to: table, segments: 0, cancellation: Cancellation()) { commit in
            var next = try NextSnapshot(
                of: table, .restore, message: options.message, tag: options.tag)
            try next.equal(view)
            try commit.publish(next)
        }
        let made = try self.table(tableName).newest
        return RestoreResult(
            snapshot: made.snapshot, restored: view.snapshot, rows: made.rowCount,
            bytes: made.document?.bytes ?? 0, hash: made.document?.hash ?? "",
            seconds: (ContinuousClock.now - started).seconds)
    }
}

extension NextSnapshot {
    fileprivate mutating func equal(_ view: TableView) throws {
        let number = self.number
        /// Of the documents, those whose snapshots change.
        func changed<D>(
            _ documents: [D], _ snapshots: WritableKeyPath<D, SnapshotRanges>
        ) -> [D] {
            documents.compactMap { document in
                let isThere = document[keyPath: snapshots].contains(view.snapshot)
                guard document[keyPath: snapshots].isOpen != isThere else { return nil }
                var changed = document
                changed[keyPath: snapshots].set(isThere, from: number)
                return changed
            }
        }
        segments = changed(table.allSegments, \.snapshots)
        checkpoints = changed(table.allCheckpoints, \.snapshots)
        preconditioners = changed(table.preconditioners, \.snapshots)
        for layer in schema.layers.indices {
            for index in schema.layers[layer].encodings.indices {
                let isThere = schema.layers[layer].encodings[index].snapshots
                    .contains(view.snapshot)
                schema.layers[layer].encodings[index].snapshots.set(isThere, from: number)
            }
        }
        deleted = try view.deletedRows
        deleted.insert(view.rowLimit..<max(view.rowLimit, head.nextRow))
        sums = view.document?.sums ?? ContentSums()
        restored = view.snapshot
    }
}
