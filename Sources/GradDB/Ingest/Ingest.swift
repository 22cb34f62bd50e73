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
        try requireUsable()
        try prepareStaging()
        let table = try self.table(tableName)
        let ingest = try Ingest(
            writer: self, table: table, options: options, cancellation: cancellation)
        var result: IngestResult
        do {
            result = try ingest.run(inputs: inputs, metadata: metadata, progress: progress)
        } catch {
            ingest.abandon()
            // An interruption can surface as the end of standard input, or any other way.
            if !ingest.isPublishing { try cancellation.check() }
            throw error
        }
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }
}

private final class Ingest {
    private let writer: DatabaseWriter
    private let table: Table
    private let options: IngestOptions
    private let cancellation: Cancellation
    private let kernels: KernelSet
    private let codecs: [any Codec]
    private let checkpoint: CheckpointDocument
    private let batch: WriteBatch
    private let segment: UInt64
    private var segmentWriter: SegmentWriter?
    private var reservation: ReservationDocument
    private(set) var isPublishing = false

    init(
        writer: DatabaseWriter, table: Table, options: IngestOptions, cancellation: Cancellation
    ) throws {
        self.writer = writer
        self.table = table
        self.options = options
        self.cancellation = cancellation
        let kernels = try KernelSet.chosen()
        self.kernels = kernels
        codecs = try table.layers.map { try table.codec($0, kernels) }
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        checkpoint = try Self.checkpoint(in: table, options)
        batch = WriteBatch(writer.store)
        reservation = ReservationDocument(table: table.document.table)
        segment = try Self.reserve(reservation, writer)
    }

    func run(
        inputs: InputSet, metadata: MetadataReader?, progress: (IngestProgress) -> Void
    ) throws -> IngestResult {
        let stored = try rowsOfCheckpoint()
        let registry = RowRegistry(
            store: writer.store, table: table.document, head: table.head, stored: stored.rows,
            batch: batch, willSpill: { [unowned self] in try self.announceSpill() })
        let planner = RowGroupPlanner(
            table: table.document, inputs: inputs, metadata: metadata, registry: registry,
            rowsPerGroup: rowsPerGroup,
            // Resumed, the same rows come again from the first one.
            firstAutomaticID: options.resume ? 0 : Int64(stored.count),
            skipPresent: options.resume)
        var summary = try writeGroups(planner, registry, progress)
        guard summary.rows > 0 else { return try nothingStored(planner) }
        try registry.finish()
        try cancellation.check()

        guard let files = try segmentWriter?.finish() else { return try nothingStored(planner) }
        try writer.store.ingest(files, into: .blocks)
        summary.bytes = segmentWriter?.bytes ?? 0
        let snapshot = try publish(summary, registry)
        segmentWriter?.discard()
        return IngestResult(
            snapshot: snapshot, rows: summary.rows, newRows: registry.newRows,
            skipped: planner.skipped, bytes: summary.bytes, inputBytes: summary.inputBytes,
            seconds: 0, unusedTensors: planner.unusedTensors.sorted())
    }

    /// Takes back what was written. A failure here is left to the next writer's recovery, and so
    /// is everything once publishing has begun: after a failed sync nobody knows whether the
    /// snapshot exists, until the database is opened again.
    func abandon() {
        segmentWriter?.discard()
        guard !isPublishing else {
            writer.mustReopen = true
            return
        }
        do {
            try Recovery(store: writer.store).undo(reservation, segment: segment)
        } catch {
            writer.mustReopen = true
        }
    }

    // MARK: reserve

    /// Takes a segment number that nobody else will ever have, durably.
    private static func reserve(
        _ reservation: ReservationDocument, _ writer: DatabaseWriter
    ) throws -> UInt64 {
        var counters = try writer.counters()
        let segment = counters.nextSegment
        counters.nextSegment += 1
        let batch = WriteBatch(writer.store)
        try batch.put(Catalog.Key.counters, document: counters)
        try batch.put(Catalog.Key.reservation(segment), document: reservation)
        try writer.store.write(batch, sync: true)
        return segment
    }

    private func announceSpill() throws {
        guard !reservation.spilled else { return }
        reservation.spilled = true
        let batch = WriteBatch(writer.store)
        try batch.put(Catalog.Key.reservation(segment), document: reservation)
        try writer.store.write(batch, sync: true)
        // What the catalog keeps in memory holds on to the log that readers replay.
        try writer.store.flush([.catalog])
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
        var bytes: UInt64 = 0
        var inputBytes: UInt64 = 0
        var firstRow = UInt64.max
        var lastRow: UInt64 = 0
    }

    /// Fewer rows than the schema's where they are wide: a group stays under 64 MiB.
    private var rowsPerGroup: Int {
        let rowBytes = codecs.reduce(0) { $0 + $1.rowBytes }
        return max(1, min(table.rowsPerGroup, TableSchema.maxRowGroupBytes / max(1, rowBytes)))
    }

    private func writeGroups(
        _ planner: RowGroupPlanner, _ registry: RowRegistry, _ progress: (IngestProgress) -> Void
    ) throws -> Summary {
        let encoder = RowGroupEncoder(
            table: table.document, codecs: codecs, kernels: kernels, threads: options.threads,
            cancellation: cancellation)
        // One is filled while the other is written.
        let buffers = [EncodedRowGroup(), EncodedRowGroup()]
        var summary = Summary()
        while let plan = try planner.next() {
            try cancellation.check()
            let group = buffers[summary.groups % 2]
            try encoder.encode(
                plan, segment: segment, rowGroup: UInt32(summary.groups), into: group)
            let segmentWriter =
                try self.segmentWriter
                ?? SegmentWriter(
                    directory: "\(writer.stagingDirectory)/\(segment)")
            self.segmentWriter = segmentWriter
            try segmentWriter.append(group)
            batch.put(
                .fields,
                Keys.rowMap(
                    table: table.document.table, segment: segment,
                    rowGroup: UInt32(summary.groups)),
                try Zstd.compress(RowMap.encode(plan.rows)))
            summary.groups += 1
            summary.rows += plan.rows.count
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

    private func nothingStored(_ planner: RowGroupPlanner) throws -> IngestResult {
        guard planner.skipped > 0 else {
            throw GradDBError.badInput("the input has no rows; nothing was ingested")
        }
        abandon()
        if let tag = options.tag { try writer.tag(table.name, tag, snapshot: nil) }
        return IngestResult(
            snapshot: table.head.snapshot, rows: 0, newRows: 0, skipped: planner.skipped, bytes: 0,
            inputBytes: 0, seconds: 0, unusedTensors: planner.unusedTensors.sorted())
    }

    // MARK: publish

    /// One synced batch: afterwards the snapshot exists, whole.
    private func publish(_ summary: Summary, _ registry: RowRegistry) throws -> UInt64 {
        let number = table.document.table
        let parent = table.snapshots.last { $0.snapshot == table.head.snapshot }
        var head = table.head
        head.snapshot += 1
        head.nextRow = registry.nextRow
        head.idType = registry.idType
        if checkpoint.checkpoint == head.nextCheckpoint {
            head.nextCheckpoint += 1
            try batch.put(
                Catalog.Key.checkpoint(number, checkpoint.checkpoint), document: checkpoint)
        }
        try batch.put(
            Catalog.Key.segment(number, segment),
            document: SegmentDocument(
                segment: segment, checkpoint: checkpoint.checkpoint, rows: summary.rows,
                rowGroups: summary.groups, rowsPerGroup: rowsPerGroup, bytes: summary.bytes,
                firstRow: summary.firstRow, lastRow: summary.lastRow, added: head.snapshot))
        try batch.put(
            Catalog.Key.snapshot(number, head.snapshot),
            document: SnapshotDocument(
                snapshot: head.snapshot, parent: table.head.snapshot, time: Timestamp.now(),
                message: options.message, checkpoint: checkpoint.checkpoint,
                nextRow: head.nextRow, segments: (parent?.segments ?? 0) + 1,
                bytes: (parent?.bytes ?? 0) + summary.bytes))
        try batch.put(Catalog.Key.head(number), document: head)
        if let tag = options.tag {
            try batch.put(
                Catalog.Key.tag(number, tag), document: TagDocument(snapshot: head.snapshot))
        }
        batch.delete(document: Catalog.Key.reservation(segment))
        try writer.store.requireRoom(for: batch.byteCount)
        isPublishing = true
        try writer.commit(batch)
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
