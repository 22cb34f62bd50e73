// What no snapshot of a table has any more: found out of the documents, the deleted rows, and which
// records are there.

/// What a clean-up removes, or would.
package struct GarbageReport: Sendable {
    /// With companions.
    package var segments = 0
    /// Rows that are forgotten.
    package var rows = 0
    package var checkpoints = 0
    package var preconditioners = 0
    package var deletedRowContainers = 0
    /// Of the blocks and preconditioners.
    package var bytes: UInt64 = 0
    /// By how much the table files became smaller.
    package var fileBytes: UInt64 = 0

    package init() {}

    /// Whether nothing is removed.
    var isEmpty: Bool {
        segments + rows + checkpoints + preconditioners + deletedRowContainers == 0 && bytes == 0
    }
}

/// The garbage of one table.
struct Garbage {
    let table: Table
    /// With their blocks and row maps; nothing refers to them.
    private(set) var segments: [SegmentDocument] = []
    /// Needed for their rows, while their blocks are in no encoding that a snapshot has.
    private(set) var emptied: [SegmentDocument] = []
    private(set) var checkpoints: [CheckpointDocument] = []
    private(set) var preconditioners: [PreconditionerDocument] = []
    /// Keys of deleted-row containers that no snapshot sees.
    private(set) var containers: [[UInt8]] = []
    /// Rows that no snapshot has, and that are not forgotten yet.
    private(set) var rows = DeletedRows()

    init(_ table: Table, _ cancellation: Cancellation) throws {
        self.table = table
        guard table.head.snapshot > 0 else { return }
        let left = table.snapshots.map(\.snapshot)
        findDocuments(left)
        try findContainers(left)
        try findRows(cancellation)
    }

    /// Without a look at rows.
    private init(documentsOf table: Table) {
        self.table = table
        if table.head.snapshot > 0 { findDocuments(table.snapshots.map(\.snapshot)) }
    }

    /// Of blocks and preconditioners, as documents say.
    static func bytes(of table: Table) -> UInt64 { Garbage(documentsOf: table).report.bytes }

    private mutating func findDocuments(_ left: [UInt64]) {
        findSegments(left)
        checkpoints = table.allCheckpoints.filter { !$0.snapshots.containsAny(of: left) }
        preconditioners = table.preconditioners.filter { !$0.snapshots.containsAny(of: left) }
    }

    var report: GarbageReport {
        var report = GarbageReport()
        report.segments = segments.count
        report.rows = rows.count
        report.checkpoints = checkpoints.count
        report.preconditioners = preconditioners.count
        report.deletedRowContainers = containers.count
        report.bytes =
            (segments + emptied).reduce(0) { $0 + $1.bytes }
            + preconditioners.reduce(0) { $0 + $1.bytes }
        return report
    }

    private mutating func findSegments(_ left: [UInt64]) {
        let encodings = Dictionary(
            uniqueKeysWithValues: table.layers.flatMap(\.encodings).map {
                ($0.number, $0.snapshots)
            })
        let bases = Dictionary(
            uniqueKeysWithValues: table.allSegments.filter { $0.base == nil }.map {
                ($0.segment, $0.snapshots)
            })
        for segment in table.allSegments {
            // A companion is there for its base, and for its encodings.
            let snapshots = segment.base.map { bases[$0] } ?? segment.snapshots
            let holdsBlocks = segment.encodings.contains { part in
                guard let snapshots, let encoding = encodings[part.encoding],
                    let both = snapshots.intersection(encoding)
                else { return false }
                return both.containsAny(of: left)
            }
            if segment.base != nil, !holdsBlocks {
                segments.append(segment)
            } else if segment.base == nil, !segment.snapshots.containsAny(of: left) {
                segments.append(segment)
            } else if segment.base == nil, !holdsBlocks, !segment.encodings.isEmpty {
                emptied.append(segment)
            }
        }
    }

    private mutating func findContainers(_ left: [UInt64]) throws {
        var versions: [UInt32: [UInt64]] = [:]
        try DeletedRows.forEachContainer(table.store, table: table.document.table) {
            container, snapshot, _ in versions[container, default: []].append(snapshot)
        }
        for (container, versions) in versions {
            for (index, version) in versions.enumerated() {
                var seen = SnapshotRanges(from: version)
                if index + 1 < versions.count { seen.set(false, from: versions[index + 1]) }
                guard !seen.containsAny(of: left) else { continue }
                containers.append(
                    Keys.deletedRows(
                        table: table.document.table, container: container, snapshot: version))
            }
        }
    }

    private mutating func findRows(_ cancellation: Cancellation) throws {
        let id = table.document.table
        try table.absentRows(cancellation).forEachRow { row in
            if try table.store.pinned(.rows, Keys.row(table: id, row)) != nil { rows.insert(row) }
        }
    }
}

extension Table {
    /// Rows that no snapshot has: those that are deleted in every one, or came after it.
    ///
    /// - Throws: `.corrupt`, `.interrupted`.
    func absentRows(_ cancellation: Cancellation) throws -> DeletedRows {
        var absent: DeletedRows?
        for snapshot in snapshots.reversed() {
            try cancellation.check()
            let view = try self.view(snapshot: snapshot.snapshot)
            if !view.hasDeletedRows, view.rowLimit == head.nextRow { return DeletedRows() }
            var missing = try view.deletedRows
            missing.insert(view.rowLimit..<max(view.rowLimit, head.nextRow))
            if absent == nil { absent = missing } else { absent?.formIntersection(missing) }
            if absent?.isEmpty ?? false { break }
        }
        return absent ?? DeletedRows()
    }
}
