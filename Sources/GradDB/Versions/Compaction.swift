// Compaction: segments are written anew, together and without their deleted rows, in the encodings of
// the newest snapshot. Rows are copied byte for byte; the snapshot that comes of it holds the same. The
// steps are those of an ingest, in format-spec/commit.md:
//
//   reserve -> copy rows into new row groups, write table files -> attach -> publish -> clean up

package struct CompactionResult: Sendable {
    /// The new snapshot, or the newest existing one where there was nothing to do.
    package var snapshot: UInt64
    package var segmentsBefore: Int
    package var segments: Int
    /// Of the segments before, those that were written anew.
    package var rewritten: Int
    /// Vectors that were written.
    package var rows: Int
    /// Vectors of deleted rows that were not.
    package var dropped: Int
    package var bytesBefore: UInt64
    package var bytes: UInt64
    package var seconds: Double
}

/// How far a compaction is.
package struct CompactionProgress: Sendable {
    package var rows: Int
    package var totalRows: Int
}

extension DatabaseWriter {
    /// Commits a snapshot of the same content in fewer and fuller segments, or changes nothing.
    ///
    /// - Parameter progress: called now and then, from the calling thread.
    /// - Throws: `.interrupted`, `.corrupt`, `.io`.
    package func compact(
        _ tableName: String, options: CompactionOptions,
        cancellation: Cancellation = Cancellation(),
        progress: (CompactionProgress) -> Void = { _ in }
    ) throws -> CompactionResult {
        let started = ContinuousClock.now
        if let tag = options.snapshot.tag { try TableSchema.validate(name: tag, of: "tag") }
        let table = try self.table(tableName)
        let compaction = try Compaction(table, options, cancellation)
        var result = CompactionResult(
            snapshot: table.head.snapshot, segmentsBefore: try table.segmentCount, segments: 0,
            rewritten: compaction.rewritten, rows: 0, dropped: 0,
            bytesBefore: try table.newest.storedBytes, bytes: 0, seconds: 0)
        if !compaction.plan.targets.isEmpty {
            try withCommit(
                to: table, segments: compaction.plan.targets.count, cancellation: cancellation
            ) { commit in
                let next = try compaction.run(commit, progress)
                try commit.publish(next)
                result.snapshot = next.number
            }
        } else if let tag = options.snapshot.tag {
            try self.tag(tableName, tag, snapshot: nil)
        }
        let after = try self.table(tableName).newest
        result.segments = after.segments.count
        result.bytes = after.storedBytes
        result.rows = compaction.done.rows
        result.dropped = compaction.done.totalRows - compaction.done.rows
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }
}

extension TableView {
    /// Of all blocks that its segments and their companions hold, in whatever encoding.
    fileprivate var storedBytes: UInt64 {
        table.allSegments.lazy.filter { $0.snapshots.contains(snapshot) }.reduce(0) {
            $0 + $1.bytes
        }
    }
}

private final class Compaction {
    let plan: CompactionPlan
    /// Rows that were written, of those that were looked at.
    private(set) var done = CompactionProgress(rows: 0, totalRows: 0)
    private let table: Table
    private let view: TableView
    private let options: CompactionOptions
    private let cancellation: Cancellation
    private let kernels: KernelSet
    private let encodings: [TargetEncoding]
    private let rowsPerGroup: Int
    private let live: RowSet?

    init(_ table: Table, _ options: CompactionOptions, _ cancellation: Cancellation) throws {
        self.table = table
        self.options = options
        self.cancellation = cancellation
        view = try table.newest
        kernels = try KernelSet.chosen()
        encodings = try view.targetEncodings(kernels)
        rowsPerGroup = table.rowsPerGroup(encodings)
        live = try view.liveRows
        plan = try CompactionPlan(view, rowsPerGroup: rowsPerGroup, all: options.all)
    }

    var rewritten: Int { plan.targets.reduce(0) { $0 + $1.sources.count } }

    func run(
        _ commit: Commit, _ progress: (CompactionProgress) -> Void
    ) throws -> NextSnapshot {
        var next = try NextSnapshot(
            of: table, .compact, message: options.snapshot.message, tag: options.snapshot.tag)
        let total = plan.targets.reduce(0) { $0 + $1.sources.reduce(0) { $0 + $1.rows } }
        for (number, target) in zip(commit.segments, plan.targets) {
            if let segment = try write(target, number, commit, next.number, total, progress) {
                next.segments.append(segment)
            }
        }
        next.leaveOut(Set(plan.targets.flatMap(\.sources).map(\.segment)))
        try cancellation.check()
        try commit.attach()
        try cancellation.check()
        return next
    }

    /// Writes the rows of some segments as one; nil where none is left.
    private func write(
        _ target: CompactionPlan.Target, _ number: UInt64, _ commit: Commit, _ snapshot: UInt64,
        _ total: Int, _ progress: (CompactionProgress) -> Void
    ) throws -> SegmentDocument? {
        let groups = CompactedGroups(
            view, target, segment: number, encodings, rowsPerGroup: rowsPerGroup,
            kernels: kernels, threads: options.snapshot.threads, commit)
        for source in target.sources {
            for group in 0..<source.rowGroups {
                try cancellation.check()
                let unit = ScanUnit(segment: source, group: group)
                let rows = try view.rowMap(source, group: group)
                let kept = rows.indices.filter { live?.contains(rows[$0]) ?? true }
                try groups.append(unit, rows, kept)
                done.rows += kept.count
                done.totalRows += rows.count
                progress(CompactionProgress(rows: done.totalRows, totalRows: total))
            }
        }
        return try groups.finish(from: snapshot)
    }
}
