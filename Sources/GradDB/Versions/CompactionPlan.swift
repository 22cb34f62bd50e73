// Which segments a compaction writes anew, and which of them together.

/// What a compaction is told.
package struct CompactionOptions: Sendable {
    /// Whether each checkpoint becomes one segment, whatever its segments are like.
    package var all = false
    package var snapshot = SnapshotOptions()

    package init() {}
}

struct CompactionPlan {
    /// Segments whose rows go into a new one, in the order of their numbers.
    struct Target {
        var checkpoint: CheckpointDocument
        var sources: [SegmentDocument]
        /// Preconditioners whose norms all the sources have.
        var norms: [PreconditionerDocument]
    }

    let view: TableView
    private(set) var targets: [Target] = []

    /// A segment of fewer full row groups is small.
    private static let smallGroups = 64

    init(_ view: TableView, rowsPerGroup: Int, all: Bool) throws {
        self.view = view
        for checkpoint in view.checkpoints {
            var chosen: [SegmentDocument] = []
            var needing: Set<UInt64> = []
            for segment in view.segments(of: checkpoint) {
                let needs = try needsCompaction(segment)
                if needs { needing.insert(segment.segment) }
                if needs || all || segment.rows < Self.smallGroups * rowsPerGroup {
                    chosen.append(segment)
                }
            }
            // One small segment by itself gains nothing.
            guard !needing.isEmpty || chosen.count > 1 else { continue }
            // Norms are kept: what has them is not mixed with what has not.
            let groups = Dictionary(grouping: chosen) { segment in
                view.preconditioners.filter { $0.hasNorms(of: segment) }.map(\.number)
            }
            for (numbers, sources) in groups.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }
            ) {
                let isWorthIt =
                    sources.count > 1 || sources.contains { needing.contains($0.segment) }
                guard isWorthIt else { continue }
                targets.append(
                    Target(
                        checkpoint: checkpoint, sources: sources,
                        norms: view.preconditioners.filter { numbers.contains($0.number) }))
            }
        }
    }

    /// Whether it has rows that are deleted, or blocks that are not of this snapshot, or lacks some.
    private func needsCompaction(_ segment: SegmentDocument) throws -> Bool {
        let active = Set(view.table.layers.flatMap { view.encodings(of: $0) }.map(\.number))
        guard Set(segment.encodings.map(\.encoding)) == active else { return true }
        guard let live = try view.liveRows else { return false }
        for group in 0..<segment.rowGroups {
            if try !view.rowMap(segment, group: group).allSatisfy(live.contains) { return true }
        }
        return false
    }
}
