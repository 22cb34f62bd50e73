// Expiry: old snapshots go. Only their documents are removed here; what no snapshot has any more is
// garbage, which the clean-up removes.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Which snapshots go: those that fulfil every rule that is given.
package struct ExpiryRule: Sendable {
    /// All but so many of the newest ones.
    package var keepLast: Int?
    /// Committed before this.
    package var olderThan: Date?

    package init(keepLast: Int? = nil, olderThan: Date? = nil) {
        self.keepLast = keepLast
        self.olderThan = olderThan
    }
}

extension DatabaseWriter {
    /// Removes the documents of old snapshots, never those of the newest one or of tagged ones.
    ///
    /// - Returns: what `Table.expired(by:)` does; how many are left.
    /// - Throws: `.usage` for a rule that keeps nothing or says nothing.
    package func expire(
        _ tableName: String, _ rule: ExpiryRule
    ) throws -> (expired: [UInt64], left: Int) {
        let table = try self.table(tableName)
        let expired = try table.expired(by: rule)
        if !expired.isEmpty {
            let batch = WriteBatch(store)
            for number in expired {
                batch.delete(document: Catalog.Key.snapshot(table.document.table, number))
            }
            try commit(batch)
        }
        return (expired, table.snapshots.count - expired.count)
    }
}

extension Table {
    /// The snapshots that a rule lets go, ascending.
    ///
    /// - Throws: `.usage` for a rule that keeps nothing or says nothing.
    package func expired(by rule: ExpiryRule) throws -> [UInt64] {
        guard rule.keepLast != nil || rule.olderThan != nil else {
            throw GradDBError.usage(
                "say which snapshots go, with --keep-last N or --older-than AGE")
        }
        if let count = rule.keepLast, count < 1 {
            throw GradDBError.usage("--keep-last takes 1 or more, as the newest never goes")
        }
        let tagged = Set(tags.values)
        let old = rule.keepLast.map { snapshots.dropLast($0) } ?? snapshots[...]
        return old.filter { snapshot in
            guard snapshot.snapshot != head.snapshot, !tagged.contains(snapshot.snapshot) else {
                return false
            }
            guard let limit = rule.olderThan else { return true }
            return Timestamp.parse(snapshot.time).map { $0 < limit } ?? false
        }.map(\.snapshot)
    }
}
