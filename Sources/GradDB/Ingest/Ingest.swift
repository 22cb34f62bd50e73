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
        into tableName: String, inputs: InputSet, metadata: MetadataReader?,
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
    private let checkpoint: CheckpointDocument

    init(table: Table, options: IngestOptions, cancellation: Cancellation) throws {
        self.table = table
        self.options = options
        self.cancellation = cancellation
        kernels = try KernelSet.chosen()
        encodings = try Self.encodings(of: try table.newest, kernels)
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        checkpoint = try Self.checkpoint(in: table, options)
    }

    func run(
        _ commit: Commit, inputs: InputSet, metadata: MetadataReader?,
        progress: (IngestProgress) -> Void
    ) throws -> IngestResult {
        let stored = try rowsOfCheckpoint()
        let registry = RowRegistry(
            store: table.store, table: table.document, head: table.head, stored: stored.rows,
            batch: commit.batch, willSpill: { try commit.announceSpill() })
        let planner = RowGroupPlanner(
            table: table.document, inputs: inputs, metadata: metadata, registry: registry,
            rowsPerGroup: rowsPerGroup,
            // Resumed, the same rows come again from the first one.
            firstAutomaticID: options.resume ? 0 : Int64(stored.count),
            skipPresent: options.resume,
            agreement: ProjectorAgreement(
                table: table.name, layers: table.layers, hasRows: table.head.nextRow > 0))
        let summary = try writeGroups(planner, commit, progress)
        var snapshot = table.head.snapshot
        if summary.rows > 0 {
            try registry.finish()
            try cancellation.check()
            try commit.attach()
            snapshot = try publish(summary, registry, planner.agreement, commit)
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

    /// All that the newest snapshot has, in the order of their blocks.
    private static func encodings(
        of view: TableView, _ kernels: KernelSet
    ) throws -> [TargetEncoding] {
        try view.table.layers.enumerated().flatMap { index, layer in
            try view.encodings(of: layer).map {
                TargetEncoding(
                    $0, layer: index, codec: try view.table.codec(layer, $0.codec, kernels))
            }
        }.sorted { $0.number < $1.number }
    }

    /// The existing checkpoint of that name, or a new one.
    private static func checkpoint(
        in table: Table, _ options: IngestOptions
    ) throws -> CheckpointDocument {
        guard let known = try table.newest.checkpoint(named: options.checkpoint) else {
            try TableSchema.validate(checkpoint: options.checkpoint)
            return CheckpointDocument(
                checkpoint: table.head.nextCheckpoint, name: options.checkpoint,
                step: options.step, weight: options.weight, added: table.head.snapshot + 1)
        }
        func refuse(_ what: String, _ old: String, _ new: String) -> GradDBError {
            .usage(
                "checkpoint '\(known.name)' has \(what) \(old), not \(new); leave the option out, "
                    + "or choose another checkpoint name")
        }
        if let step = options.step, step != known.step {
            throw refuse("step", known.step.map { "\($0)" } ?? "unset", "\(step)")
        }
        if let weight = options.weight, weight != known.weight {
            throw refuse("weight", known.weight.map { "\($0)" } ?? "unset", "\(weight)")
        }
        return known
    }

    // MARK: write

    private struct Summary {
        var rows = 0
        var groups = 0
        /// Bytes of blocks, by encoding.
        var bytes: [UInt32: UInt64] = [:]
        var inputBytes: UInt64 = 0
        var firstRow = UInt64.max
        var lastRow: UInt64 = 0
    }

    /// Fewer rows than the schema's where they are wide: a group stays under 64 MiB.
    private var rowsPerGroup: Int {
        let rowBytes = encodings.reduce(0) { $0 + $1.codec.rowBytes }
        return max(1, min(table.rowsPerGroup, TableSchema.maxRowGroupBytes / max(1, rowBytes)))
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
        var summary = Summary()
        while let plan = try planner.next() {
            try cancellation.check()
            let group = buffers[summary.groups % 2]
            try encoder.encode(
                plan, segment: segment, rowGroup: UInt32(summary.groups), into: group)
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

    private func rowsOfCheckpoint() throws -> (rows: RowSet, count: Int) {
        let view = try table.newest
        var rows = RowSet()
        var count = 0
        for segment in view.segments(of: checkpoint) {
            for group in 0..<segment.rowGroups {
                for row in try view.rowMap(segment, group: group) { rows.insert(row) }
            }
            count += segment.rows
        }
        return (rows, count)
    }

    // MARK: publish

    private func publish(
        _ summary: Summary, _ registry: RowRegistry, _ agreement: ProjectorAgreement,
        _ commit: Commit
    ) throws -> UInt64 {
        var head = table.head
        if agreement.hasAdopted {
            var document = table.document
            document.layers = agreement.layers
            try commit.batch.put(Catalog.Key.table(document.name), document: document)
        }
        head.snapshot += 1
        head.nextRow = registry.nextRow
        head.idType = registry.idType
        if checkpoint.checkpoint == head.nextCheckpoint {
            head.nextCheckpoint += 1
            try commit.batch.put(
                Catalog.Key.checkpoint(table.document.table, checkpoint.checkpoint),
                document: checkpoint)
        }
        let segment = SegmentDocument(
            segment: commit.segments.lowerBound, checkpoint: checkpoint.checkpoint,
            rows: summary.rows, rowGroups: summary.groups, rowsPerGroup: rowsPerGroup,
            encodings: encodings.map {
                .init(encoding: $0.number, bytes: summary.bytes[$0.number] ?? 0)
            }, firstRow: summary.firstRow, lastRow: summary.lastRow, added: head.snapshot)
        try commit.publish(
            head: head, segments: [segment], checkpoint: checkpoint.checkpoint,
            bytes: try table.bytes + summary.bytes.values.reduce(0, +), message: options.message,
            tag: options.tag)
        return head.snapshot
    }
}

extension RowGroupPlan {
    /// Bytes of vectors that the group is read from.
    fileprivate func inputBytes(_ table: TableDocument) -> UInt64 {
        pieces.reduce(0) { sum, piece in
            table.layers.reduce(sum) { sum, layer in
                let matrix = try? piece.source.matrix(layer.name, allowVector: false)
                return sum + UInt64(piece.sourceRows.count * (matrix?.rowBytes ?? 0))
            }
        }
    }
}

extension TableSchema {
    /// A checkpoint's name may be anything that fits on a line.
    fileprivate static func validate(checkpoint name: String) throws {
        let isPrintable = name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
        guard !name.isEmpty, name.utf8.count <= 256, isPrintable else {
            throw GradDBError.usage(
                "'\(name)' cannot be the name of a checkpoint: 1 to 256 printable characters")
        }
    }
}

extension Duration {
    package var seconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
