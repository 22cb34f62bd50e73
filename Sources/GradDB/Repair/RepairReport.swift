// What a repair found lost, and what it did.

/// Something that cannot be read any more.
package enum RepairLoss: Sendable {
    /// Vectors of a segment.
    ///
    /// - `ids`: of the first few; empty where they are not known.
    /// - `isInNewest`: whether the newest snapshot had them.
    case vectors(
        table: String, checkpoint: String, segment: UInt64, count: Int, ids: [RowID],
        isInNewest: Bool)
    /// Rows with their ids and fields, and so with all their vectors.
    case rows(table: String, numbers: [UInt64])
    case preconditioner(table: String, name: String)
    /// Which of these rows are deleted. In the newest snapshot all of them are then.
    case deletedRows(table: String, rows: Range<UInt64>, isInNewest: Bool)
}

package struct RepairReport: Sendable {
    package var tables = 0
    package var losses: [RepairLoss] = []
    /// Rows whose record or columns were made from the other.
    package var rowsRestored = 0
    /// Table files that could not be read.
    package var brokenFiles: [String] = []
    /// Where the damaged database is now; nil where nothing was repaired.
    package var setAside: String?
    /// By table, the snapshot that is without what was lost.
    package var snapshots: [String: UInt64] = [:]

    /// Whether table files hold bytes that are not what was written: those of rows that are lost, or of
    /// nothing that a snapshot has.
    package var hasBrokenBytes = false

    /// Whether anything is damaged.
    package var isDamaged: Bool { !losses.isEmpty || isWorthIt }

    /// Whether the database that was made of it is better: it is not where older snapshots lack what an
    /// earlier repair could not bring over.
    var isWorthIt: Bool {
        rowsRestored > 0 || !brokenFiles.isEmpty || !snapshots.isEmpty || hasBrokenBytes
    }

    package init() {}
}
