// A snapshot without what is lost: damaged segments are written anew with the rows that can be read,
// and stay in the older snapshots as they are.

extension DatabaseWriter {
    /// Commits a snapshot of a table in which everything can be read; nil where the newest one is sound.
    ///
    /// Rows of which nobody knows whether they are deleted are left out: one that is must not come back.
    ///
    /// - Parameter records: what could be read of the table's records.
    func repair(
        _ damage: TableDamage, _ records: RescuedRecords, threads: Int,
        _ cancellation: Cancellation
    ) throws -> UInt64? {
        let table = try self.table(damage.table.name)
        let view = try table.newest
        let broken = try view.brokenSegments(damage)
        var gone = records.lost
        let unknown = records.lostContainers.filter(\.isInNewest).map(\.container)
        if !unknown.isEmpty {
            view.assume(deleted: records.deleted)
            for container in unknown { gone.insert(DeletedRows.rows(ofContainer: container)) }
        }
        var known = DeletedRows()
        known.insert(0..<view.rowLimit)
        gone.formIntersection(known)
        let unusable = records.lostPreconditioners.filter { $0.snapshots.contains(view.snapshot) }
        let isNew = !gone.isEmpty && view.deletedRows(without: gone)
        guard !broken.isEmpty || isNew || !unusable.isEmpty else { return nil }
        return try withCommit(
            to: table, segments: broken.count, cancellation: cancellation
        ) { commit in
            let repair = try SegmentRescue(
                view, damage, lost: gone, threads: threads, commit, cancellation)
            var next = try NextSnapshot(
                of: view, .repair, message: "what could be read of a damaged database", tag: nil)
            for (number, segment) in zip(commit.segments, broken) {
                if let rescued = try repair.rescue(segment, as: number, from: next.number) {
                    next.segments.append(rescued)
                }
            }
            let numbers = Set(broken.map(\.segment))
            next.leaveOut(numbers)
            next.preconditioners = unusable.map { preconditioner in
                var preconditioner = preconditioner
                preconditioner.snapshots.set(false, from: next.number)
                return preconditioner
            }
            gone.forEachRow { next.deleted.insert($0) }
            try commit.attach()
            next.sums = try repair.sums(without: numbers)
            try commit.publish(next)
            return next.number
        }
    }
}

extension TableView {
    /// Segments with rows that cannot be read in this snapshot.
    func brokenSegments(_ damage: TableDamage) throws -> [SegmentDocument] {
        try checkpoints.flatMap { units(of: $0) }.reduce(into: []) { broken, unit in
            guard broken.last?.segment != unit.segment.segment else { return }
            if try damage.lostPlaces(self, unit) != nil { broken.append(unit.segment) }
        }
    }

    /// Whether one of these rows is not deleted yet.
    fileprivate func deletedRows(without rows: DeletedRows) -> Bool {
        guard let deleted = try? deletedRows else { return true }
        var isNew = false
        rows.forEachRow { isNew = isNew || !deleted.contains($0) }
        return isNew
    }
}

/// Copies what can be read of broken segments, and adds up what the snapshot holds then.
private final class SegmentRescue {
    private let view: TableView
    private let damage: TableDamage
    private let lost: DeletedRows
    private let threads: Int
    private let commit: Commit
    private let cancellation: Cancellation
    private var sums = ContentSums()
    private let kernels: KernelSet
    private let content: ViewContent

    init(
        _ view: TableView, _ damage: TableDamage, lost: DeletedRows, threads: Int,
        _ commit: Commit, _ cancellation: Cancellation
    ) throws {
        kernels = try KernelSet.chosen()
        content = try ViewContent(view, kernels)
        self.view = view
        self.damage = damage
        self.lost = lost
        self.threads = threads
        self.commit = commit
        self.cancellation = cancellation
    }

    func rescue(
        _ segment: SegmentDocument, as number: UInt64, from snapshot: UInt64
    ) throws -> SegmentDocument? {
        guard
            let checkpoint = view.checkpoints.first(where: { $0.checkpoint == segment.checkpoint })
        else { return nil }
        let encodings = try view.targetEncodings(kernels)
        let groups = CompactedGroups(
            view, CompactionPlan.Target(checkpoint: checkpoint, sources: [segment], norms: []),
            segment: number, encodings, rowsPerGroup: view.table.rowsPerGroup(encodings),
            kernels: kernels, threads: threads, commit, content: content)
        let live = try view.liveRows
        for group in 0..<segment.rowGroups {
            try cancellation.check()
            let unit = ScanUnit(segment: segment, group: group)
            let wrong = try damage.lostPlaces(view, unit) ?? []
            guard wrong.count < segment.rows(ofGroup: group) else { continue }
            let rows = try view.rowMap(segment, group: group)
            try groups.append(
                unit, rows,
                rows.indices.filter {
                    !wrong.contains($0) && !lost.contains(rows[$0])
                        && live?.contains(rows[$0]) ?? true
                })
        }
        let made = try groups.finish(from: snapshot)
        sums.encodings.merge(groups.sums, uniquingKeysWith: &+)
        return made
    }

    /// Of the content that is left, read anew: what was lost cannot be taken from the sums.
    func sums(without broken: Set<UInt64>) throws -> ContentSums {
        var rows = DeletedRows()
        let live = try view.liveRows ?? .all(below: view.rowLimit)
        live.forEachRow { row in
            if !lost.contains(row) { rows.insert(row) }
        }
        var all = try RowContent(view, threads, cancellation).sums(of: rows, leavingOut: broken)
        all += sums
        return all
    }
}
