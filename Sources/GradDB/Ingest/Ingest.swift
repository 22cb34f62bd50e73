// One ingest, from inputs to a published snapshot. The steps, and what a crash after each leaves,
// are format-spec/commit.md:
//
//   reserve -> plan and encode row groups, write table files -> attach -> publish -> clean up

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension DatabaseWriter {
    /// Reads all inputs and commits them as one snapshot, or changes nothing.
    ///
    /// - Parameter progress: called now and then, from the calling thread.
    /// - Throws: `.badInput` for anything wrong with the inputs, `.usage` for contradictory
    ///   options, `.interrupted` after cancellation, `.io`.
    package func ingest(
        into tableName: String, inputs: InputSet, metadata: (any MetadataSource)?,
        options: IngestOptions, cancellation: Cancellation = Cancellation(),
        progress: (IngestProgress) -> Void = { _ in }
    ) throws -> IngestResult {
        let started = ContinuousClock.now
        let table = try self.table(tableName)
        let ingest = try Ingest(table: table, options: options, cancellation: cancellation)
        var result = try withCommit(to: table, segments: 1, cancellation: cancellation) { commit in
            try ingest.run(commit, inputs: inputs, metadata: metadata, progress: progress)
        }
        if result.rows == 0, let tag = options.tag {
            try self.tag(tableName, tag, snapshot: nil)
        }
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }
}

private struct Ingest {
    private let table: Table
    private let options: IngestOptions
    private let cancellation: Cancellation
    private let kernels: KernelSet
    private let encodings: [TargetEncoding]
    private let rowsPerGroup: Int
    private let checkpoint: CheckpointDocument

    init(table: Table, options: IngestOptions, cancellation: Cancellation) throws {
        self.table = table
        self.options = options
        self.cancellation = cancellation
        kernels = try KernelSet.chosen()
        let view = try table.newest
        encodings = try view.targetEncodings(kernels)
        rowsPerGroup = table.rowsPerGroup(encodings)
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        checkpoint = try view.checkpoint(
            toAddTo: options.checkpoint, step: options.step, weight: options.weight)
    }

    /// The n-th row that a checkpoint receives gets n-1; where rows have been deleted, those that are
    /// left say how far the numbers have come.
    private var nextAutomaticID: Int64 {
        get throws {
            let view = try table.newest
            guard let live = try view.liveRows else {
                return Int64(view.storedRowCount(of: checkpoint))
            }
            let ids = try RowIDs(view, kernels: kernels)
            var next: Int64 = 0
            for segment in view.segments(of: checkpoint) {
                for group in 0..<segment.rowGroups {
                    for row in try view.rowMap(segment, group: group) where live.contains(row) {
                        if case .int(let id) = try ids.id(of: row), id < .max {
                            next = max(next, id + 1)
                        }
                    }
                }
            }
            return next
        }
    }

    func run(
        _ commit: Commit, inputs: InputSet, metadata: (any MetadataSource)?,
        progress: (IngestProgress) -> Void
    ) throws -> IngestResult {
        let registry = try RowRegistry(
            try table.newest, checkpoint: checkpoint, batch: commit.batch, kernels: kernels,
            willSpill: { try commit.announceSpill() })
        let planner = RowGroupPlanner(
            table: table.document, inputs: inputs, metadata: metadata, registry: registry,
            rowsPerGroup: rowsPerGroup,
            // Resumed, the same rows come again from the first one.
            firstAutomaticID: options.resume ? 0 : try nextAutomaticID,
            skipPresent: options.resume,
            agreement: ProjectorAgreement(
                table: table.name, layers: table.layers, hasRows: table.head.nextRow > 0))
        let summary = try writeGroups(planner, commit, progress)
        var snapshot = table.head.snapshot
        if summary.rows > 0 {
            try registry.finish()
            try cancellation.check()
            try commit.attach()
            var next = try NextSnapshot(
                of: table, .ingest, message: options.message, tag: options.tag)
            next.add(
                [segment(summary, commit)], sums: summary.sums, at: checkpoint, registry,
                planner.agreement)
            try commit.publish(next)
            snapshot = next.number
        } else {
            guard planner.skipped > 0 else {
                throw GradDBError.badInput("the input has no rows; nothing was ingested")
            }
            commit.abandon()
        }
        return IngestResult(
            snapshot: snapshot, rows: summary.rows, newRows: registry.newRows,
            skipped: planner.skipped, bytes: summary.bytes.values.reduce(0, +),
            inputBytes: summary.inputBytes, seconds: 0,
            unusedTensors: planner.unusedTensors.sorted(), notes: planner.agreement.notes)
    }

    // MARK: write

    private struct Summary {
        var rows = 0
        var groups = 0
        /// Bytes of blocks, by encoding.
        var bytes: [UInt32: UInt64] = [:]
        /// Of the vectors' content, by encoding.
        var sums: [UInt32: UInt64] = [:]
        var inputBytes: UInt64 = 0
        var firstRow = UInt64.max
        var lastRow: UInt64 = 0
    }

    private func writeGroups(
        _ planner: RowGroupPlanner, _ commit: Commit, _ progress: (IngestProgress) -> Void
    ) throws -> Summary {
        let encoder = RowGroupEncoder(
            table: table.document, encodings: encodings, kernels: kernels,
            threads: options.threads, cancellation: cancellation)
        // One is filled while the other is written.
        let buffers = [EncodedRowGroup(), EncodedRowGroup()]
        let segment = commit.segments.lowerBound
        let content = ContentHash(kernels)
        let checkpointHash = content.checkpoint(checkpoint.name)
        var summary = Summary()
        while let plan = try planner.next() {
            try cancellation.check()
            let group = buffers[summary.groups % 2]
            try encoder.encode(
                plan, segment: segment, rowGroup: UInt32(summary.groups), into: group)
            summary.sums.merge(
                try group.contentSums(
                    ids: plan.ids.map(content.id), checkpoint: checkpointHash, kernels: kernels,
                    threads: options.threads), uniquingKeysWith: &+)
            try commit.append(group)
            commit.batch.put(
                .fields,
                Keys.rowMap(
                    table: table.document.table, segment: segment,
                    rowGroup: UInt32(summary.groups)),
                try RowMap.encode(plan.rows))
            summary.groups += 1
            summary.rows += plan.rows.count
            summary.bytes.merge(group.bytesOfEncodings, uniquingKeysWith: +)
            summary.inputBytes += plan.inputBytes(table.document)
            summary.firstRow = min(summary.firstRow, plan.rows.min() ?? .max)
            summary.lastRow = max(summary.lastRow, plan.rows.max() ?? 0)
            progress(IngestProgress(rows: summary.rows, inputBytes: summary.inputBytes))
        }
        return summary
    }

    private func segment(_ summary: Summary, _ commit: Commit) -> SegmentDocument {
        SegmentDocument(
            segment: commit.segments.lowerBound, checkpoint: checkpoint.checkpoint,
            rows: summary.rows, rowGroups: summary.groups, rowsPerGroup: rowsPerGroup,
            encodings: encodings.map {
                .init(encoding: $0.number, bytes: summary.bytes[$0.number] ?? 0)
            }, firstRow: summary.firstRow, lastRow: summary.lastRow,
            snapshots: SnapshotRanges(from: table.head.snapshot + 1))
    }
}

extension RowGroupPlan {
    /// Bytes of vectors that the group is read from.
    fileprivate func inputBytes(_ table: TableDocument) -> UInt64 {
        pieces.reduce(0) { sum, piece in
            table.layers.reduce(sum) { sum, layer in
                sum + UInt64(piece.sourceRows.count * piece.source.inputBytes(perRowOf: layer.name))
            }
        }
    }
}

extension Duration {
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
