// The row groups of a segment that a compaction writes: filled with rows copied out of others, block by
// block, and handed over when they are full.

final class CompactedGroups {
    private let view: TableView
    private let target: CompactionPlan.Target
    private let segment: UInt64
    private let encodings: [TargetEncoding]
    private let rowsPerGroup: Int
    private let kernels: KernelSet
    private let threads: Int
    private let commit: Commit
    private let content: ViewContent?
    /// Of the content of the rows, by encoding, where that is asked for.
    private(set) var sums: [UInt32: UInt64] = [:]
    /// One is filled while the other is written.
    private let buffers = [EncodedRowGroup(), EncodedRowGroup()]
    private var finished = 0
    /// Of the group that is being filled.
    private var rows: [UInt64] = []
    /// By preconditioner, then by part of it, the norms of these rows.
    private var norms: [[[Double]]]
    private var totalRows = 0
    private var bytes: [UInt32: UInt64] = [:]
    private var bounds: ClosedRange<UInt64>?

    /// - Parameter content: to add up what the rows hold; a compaction knows it already.
    init(
        _ view: TableView, _ target: CompactionPlan.Target, segment: UInt64,
        _ encodings: [TargetEncoding], rowsPerGroup: Int, kernels: KernelSet, threads: Int,
        _ commit: Commit, content: ViewContent? = nil
    ) {
        self.content = content
        self.view = view
        self.target = target
        self.segment = segment
        self.encodings = encodings
        self.rowsPerGroup = rowsPerGroup
        self.kernels = kernels
        self.threads = threads
        self.commit = commit
        norms = target.norms.map { $0.parts(of: target.checkpoint).map { _ in [] } }
    }

    private var group: EncodedRowGroup { buffers[finished % 2] }

    /// Takes rows of a row group over.
    ///
    /// - Parameters:
    ///   - numbers: of all rows of the group, in stored order.
    ///   - places: of those that are taken, ascending.
    /// - Throws: `.corrupt`, `.io`.
    func append(_ unit: ScanUnit, _ numbers: [UInt64], _ places: [Int]) throws {
        guard !places.isEmpty else { return }
        let stored = try target.norms.map { preconditioner in
            let parts = preconditioner.parts(of: target.checkpoint).count
            let all = try view.storedNorms(preconditioner, of: unit, parts: parts) ?? []
            return (0..<parts).map { Array(all[$0 * numbers.count..<($0 + 1) * numbers.count]) }
        }
        var rest = places[...]
        while !rest.isEmpty {
            if rows.isEmpty { try begin() }
            let taken = Array(rest.prefix(rowsPerGroup - rows.count))
            rest = rest.dropFirst(taken.count)
            try copy(unit, taken, to: rows.count)
            rows += taken.map { numbers[$0] }
            for (index, parts) in stored.enumerated() {
                for (part, all) in parts.enumerated() {
                    norms[index][part] += taken.map { all[$0] }
                }
            }
            if rows.count == rowsPerGroup { try handOver(group) }
        }
    }

    /// Hands the last group over. Nil where no row came.
    ///
    /// - Parameter snapshot: the first that has the segment.
    func finish(from snapshot: UInt64) throws -> SegmentDocument? {
        if !rows.isEmpty { try handOver(group.prefix(rows: rows.count, encodings: encodings)) }
        guard let bounds else { return nil }
        return SegmentDocument(
            segment: segment, checkpoint: target.checkpoint.checkpoint, rows: totalRows,
            rowGroups: finished, rowsPerGroup: rowsPerGroup,
            encodings: encodings.map {
                .init(encoding: $0.number, bytes: bytes[$0.number] ?? 0)
            }, firstRow: bounds.lowerBound, lastRow: bounds.upperBound,
            snapshots: SnapshotRanges(from: snapshot),
            norms: target.norms.isEmpty ? nil : target.norms.map(\.number))
    }

    private func begin() throws {
        group.prepare(
            table: view.table.document.table, segment: segment, rowGroup: UInt32(finished),
            rows: rowsPerGroup, encodings: encodings)
    }

    /// Copies rows, from the places `places` of a stored row group to those from `first` on.
    private func copy(_ unit: ScanUnit, _ places: [Int], to first: Int) throws {
        let group = self.group
        let (view, encodings, kernels) = (view, encodings, kernels)
        let rowCount = unit.segment.rows(ofGroup: unit.group)
        try Parallel.forEach(group.slots.count, threads: threads) { index, _ in
            let slot = group.slots[index]
            guard let target = encodings.first(where: { $0.number == slot.key.encoding }),
                let encoding = view.table.layers[target.layer].encodings.first(where: {
                    $0.number == target.number
                })
            else { return }
            let block = try BlockReader(
                view.store,
                view.blockKey(encoding, unit.segment, group: unit.group, slab: Int(slot.key.slab)),
                rows: rowCount, codec: target.codec, kind: target.kind, kernels: kernels)
            try group.copyRows(of: block, at: places, to: first, slot: index, kernels: kernels)
        }
    }

    private func handOver(_ group: EncodedRowGroup) throws {
        try group.seal(kernels: kernels, threads: threads)
        if let content {
            sums.merge(
                try group.contentSums(
                    ids: try rows.map { try content.id(of: $0) },
                    checkpoint: content.checkpoint(target.checkpoint.checkpoint),
                    kernels: kernels, threads: threads), uniquingKeysWith: &+)
        }
        try commit.append(group)
        let number = UInt32(finished)
        let table = view.table.document.table
        commit.batch.put(
            .fields, Keys.rowMap(table: table, segment: segment, rowGroup: number),
            try RowMap.encode(rows))
        for (index, preconditioner) in target.norms.enumerated() {
            commit.batch.put(
                .fields,
                Keys.norms(
                    table: table, preconditioner: preconditioner.number, segment: segment,
                    rowGroup: number),
                try NumberWriter.encode(norms[index].flatMap { $0 }))
            norms[index] = norms[index].map { _ in [] }
        }
        bytes.merge(group.bytesOfEncodings, uniquingKeysWith: +)
        let low = rows.min() ?? 0
        let high = rows.max() ?? 0
        bounds = min(bounds?.lowerBound ?? low, low)...max(bounds?.upperBound ?? high, high)
        totalRows += rows.count
        finished += 1
        rows.removeAll(keepingCapacity: true)
    }
}
