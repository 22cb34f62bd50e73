// Builds a preconditioner from the stored gradients, checkpoint by checkpoint and layer by layer, and
// publishes it with a snapshot. Every row is read twice: for the matrix, then for its norm under the
// inverse. The steps are those of an ingest, in format-spec/commit.md:
//
//   reserve -> read and add up, factor, write the numbers, read again, write the norms -> publish

extension DatabaseWriter {
    /// Commits a snapshot that has the preconditioner, or changes nothing.
    ///
    /// - Parameter progress: called now and then, from the calling thread.
    /// - Throws: `.usage` for unknown names and choices that make no sense, `.failed` without rows
    ///   or OpenBLAS, `.badInput` for a matrix that is not positive definite; `.interrupted`,
    ///   `.corrupt`, `.io`.
    package func precondition(
        _ tableName: String, options: PreconditionOptions,
        cancellation: Cancellation = Cancellation(),
        progress: (PreconditionProgress) -> Void = { _ in }
    ) throws -> PreconditionResult {
        let started = ContinuousClock.now
        let table = try self.table(tableName)
        let plan = try PreconditionPlan(try table.newest, options)
        _ = try LinearAlgebra.required()
        let document = try withCommit(
            to: table, preconditioner: plan.number, cancellation: cancellation
        ) { commit in
            let building = try Precondition(plan, options, cancellation)
            let document = try building.run(progress)
            try cancellation.check()
            try publish(document, commit, message: options.message, tag: options.tag)
            return document
        }
        return PreconditionResult(
            snapshot: document.snapshots.first, document: document,
            seconds: (ContinuousClock.now - started).seconds)
    }

    /// Commits a snapshot without the preconditioner. Older snapshots keep it.
    ///
    /// - Returns: the snapshot's number.
    /// - Throws: `.usage` when there is none of that name.
    package func removePreconditioner(
        _ tableName: String, name: String, message: String = "", tag: String? = nil
    ) throws -> UInt64 {
        let table = try self.table(tableName)
        if let tag { try TableSchema.validate(name: tag, of: "tag") }
        var document = try table.newest.preconditioner(named: name)
        document.snapshots.set(false, from: table.head.snapshot + 1)
        return try withCommit(to: table, segments: 0, cancellation: Cancellation()) { commit in
            try publish(document, commit, message: message, tag: tag)
            return table.head.snapshot + 1
        }
    }

    private func publish(
        _ document: PreconditionerDocument, _ commit: Commit, message: String, tag: String?
    ) throws {
        var next = try NextSnapshot(of: commit.table, .precondition, message: message, tag: tag)
        next.preconditioners = [document]
        try commit.publish(next)
    }
}

private final class Precondition {
    private let plan: PreconditionPlan
    private let options: PreconditionOptions
    private let cancellation: Cancellation
    private let numbers: NumberWriter
    private var done = PreconditionProgress(rows: 0, bytes: 0, totalBytes: 0)

    init(
        _ plan: PreconditionPlan, _ options: PreconditionOptions, _ cancellation: Cancellation
    ) throws {
        self.plan = plan
        self.options = options
        self.cancellation = cancellation
        numbers = NumberWriter(
            plan.view.store, table: plan.view.table.document.table, preconditioner: plan.number)
        done.totalBytes = try plan.parts.joined().reduce(0) { sum, part in
            let rows = try Self.rows(plan, part, options)
            return sum + UInt64((rows.count + rows.storedCount) * rows.rowBytes)
        }
    }

    private static func rows(
        _ plan: PreconditionPlan, _ part: PreconditionPlan.Part, _ options: PreconditionOptions
    ) throws -> GradientRows {
        try GradientRows(
            plan.view, layer: part.layer, checkpoint: part.checkpoint, threads: options.threads)
    }

    func run(_ progress: (PreconditionProgress) -> Void) throws -> PreconditionerDocument {
        var document = PreconditionerDocument(
            number: plan.number, name: options.name, snapshot: plan.view.snapshot,
            created: Timestamp.now(), bytes: 0,
            snapshots: SnapshotRanges(from: plan.view.snapshot + 1), parts: [])
        for parts in plan.parts {
            // By part, then by row: 8 bytes for each of a checkpoint's vectors.
            var norms: [[Double]] = []
            for part in parts {
                let rows = try Self.rows(plan, part, options)
                let (matrix, damping) = try matrix(part, rows, progress)
                let index = UInt32(document.parts.count)
                let count = try numbers.write(part: index, matrix, cancellation: cancellation)
                document.parts.append(
                    .init(
                        part: index, layer: part.layer.number,
                        checkpoint: part.checkpoint.checkpoint, kind: part.kind, damping: damping,
                        rank: matrix.rank, rows: rows.count, bytes: UInt64(count) * 8))
                norms.append(try self.norms(matrix, rows, progress))
                document.bytes += UInt64(count + rows.storedCount) * 8
            }
            if let checkpoint = parts.first?.checkpoint { try write(norms, of: checkpoint) }
        }
        try numbers.finish()
        return document
    }

    // MARK: the matrix

    private func matrix(
        _ part: PreconditionPlan.Part, _ rows: GradientRows,
        _ progress: (PreconditionProgress) -> Void
    ) throws -> (any InverseMatrix, damping: Double) {
        let dims = part.layer.dims
        let sum: any GradientSum =
            switch part.kind {
            case .dense:
                try DenseSum(dims: dims, threads: options.threads, cancellation: cancellation)
            case .diagonal: try DiagonalSum(dims: dims, threads: options.threads)
            case .woodbury:
                try FrequentDirections(
                    dims: dims, rank: min(plan.rank, rows.count), threads: options.threads,
                    cancellation: cancellation)
            }
        try rows.forEachBatch(cancellation: cancellation) { batch in
            try sum.add(batch)
            report(batch.rows, rows, progress)
        }
        let count = rows.count
        let damping = options.damping ?? 0.1 * sum.trace / Double(count * dims)
        do {
            return (try sum.inverse(count: count, damping: damping), damping)
        } catch is NotPositiveDefinite {
            throw GradDBError.badInput(refusal(part, count, damping: damping, trace: sum.trace))
        }
    }

    private func refusal(
        _ part: PreconditionPlan.Part, _ count: Int, damping: Double, trace: Double
    ) -> String {
        let place = "layer '\(part.layer.name)' at checkpoint '\(part.checkpoint.name)'"
        guard trace > 0 else {
            return "all \(count) gradients of \(place) are zero, so its matrix has no inverse; "
                + "leave the layer out with --layers, or give a --damping above 0"
        }
        return "the matrix of \(place), of \(count) gradients and with damping \(damping), is not "
            + "positive definite; give a --damping above that (a tenth of the mean of its diagonal "
            + "would be \(0.1 * trace / Double(count * part.layer.dims)))"
    }

    // MARK: norms

    private func norms(
        _ matrix: any InverseMatrix, _ rows: GradientRows,
        _ progress: (PreconditionProgress) -> Void
    ) throws -> [Double] {
        var norms: [Double] = []
        norms.reserveCapacity(rows.storedCount)
        // As they lie, deleted ones with them: a norm is found by its place.
        try rows.forEachBatch(includingDeleted: true, cancellation: cancellation) { batch in
            norms += try matrix.squaredNorms(batch, threads: options.threads)
            report(batch.rows, rows, progress)
        }
        return norms
    }

    /// Row group by row group, and in it part by part.
    private func write(_ norms: [[Double]], of checkpoint: CheckpointDocument) throws {
        var first = 0
        for unit in plan.view.units(of: checkpoint) {
            try cancellation.check()
            let rows = first..<first + unit.segment.rows(ofGroup: unit.group)
            try numbers.write(norms: norms.flatMap { $0[rows] }, of: unit)
            first = rows.upperBound
        }
    }

    private func report(
        _ count: Int, _ rows: GradientRows, _ progress: (PreconditionProgress) -> Void
    ) {
        done.rows += count
        done.bytes += UInt64(count * rows.rowBytes)
        progress(done)
    }
}
