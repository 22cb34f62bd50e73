// Scoring the blocks of one layer: verified chunk by chunk, and scored while a chunk is in the
// cache. The scan and the re-scoring of single rows share it.

/// One column of a scan with its queries. Constant; shared by all threads.
package struct ColumnScorer: Sendable {
    package let column: ScanColumn
    package let codec: any Codec
    package let queries: [EncodedQuery]
    /// By query: how sums become dot products, and how far those may be off.
    package let terms: [ScoreTerm]
    package let errors: [EstimateError]
    // Several queries together; only scans of whole row groups pack them.
    private var integers: QueryBatch?
    private var floats: FloatBatch?
    private let isSinglePrecision: Bool
    private let kernels: KernelSet

    init(
        _ column: ScanColumn, _ table: Table, queries: [EncodedQuery], kernels: KernelSet
    ) throws {
        let codec = try table.codec(column.layer, column.encoding.codec, kernels)
        self.column = column
        self.codec = codec
        self.queries = queries
        self.kernels = kernels
        terms = queries.map { codec.term(of: $0, slabs: column.slabs) }
        errors = queries.map { EstimateError(column, codec: codec, query: $0) }
        isSinglePrecision = column.isSinglePrecision && codec.canEstimate
    }

    /// The same with its queries packed, where they are better scored together.
    func batched() -> ColumnScorer {
        var batched = self
        batched.integers = QueryBatch(queries, codec: codec)
        batched.floats = column.isSinglePrecision ? FloatBatch(queries, codec: codec) : nil
        return batched
    }

    /// Whether running sums lie row by row; else query by query.
    private var isRowMajor: Bool { integers != nil || floats != nil }

    /// Chunks in a row are read more than twice as fast as those that others are left out between:
    /// beyond this share of them, all are (docs/measurements.md, Plans).
    package static let mostSkippingShare = 0.45

    /// Whether it is faster to pass over the chunks that hold no row of `mask` than to read all.
    func paysToSkip(_ mask: [Bool]) -> Bool {
        let rowsPerChunk = BlockLayout(
            rows: mask.count, stride: codec.geometry.bytes(ofSlab: 0), hasStatistics: true
        ).rowsPerChunk
        var chunks = 0
        var touched = 0
        for first in stride(from: 0, to: mask.count, by: rowsPerChunk) {
            chunks += 1
            let rows = first..<min(mask.count, first + rowsPerChunk)
            if mask[rows].contains(true) { touched += 1 }
        }
        return Double(touched) < Self.mostSkippingShare * Double(chunks)
    }

    /// Opens the column's block `slab` of a row group.
    func block(_ view: TableView, _ unit: ScanUnit, rows: Int, slab: Int) throws -> BlockReader {
        try BlockReader(
            view.store,
            view.blockKey(column.encoding, unit.segment, group: unit.group, slab: slab),
            rows: rows, codec: codec, kind: column.encoding.codec, kernels: kernels,
            trusting: view.store.verifiedBlocks)
    }

    /// Verifies and scores a block. Running sums stand for all rows of the block; those of rows
    /// that share no chunk with `mask` stay as they are.
    func accumulate(
        _ block: borrowing BlockReader, slab: Int, mask: [Bool]?, scratch: ScanScratch,
        into sums: UnsafeMutablePointer<Accumulator>, _ counters: inout ScanCounters
    ) throws {
        counters.blocks += 1
        if let integers {
            try accumulateRuns(block, slab, mask, sums, &counters) { bytes, rowCount, sums in
                integers.accumulate(bytes, rowCount: rowCount, slab: slab, into: sums)
            }
        } else if let floats {
            try accumulateRuns(block, slab, mask, sums, &counters) { bytes, rowCount, sums in
                floats.accumulate(
                    bytes, rowCount: rowCount, slab: slab, scratch: scratch.floats, into: sums)
            }
        } else if block.isVerified, queries.count == 1 {
            accumulateVerified(block, slab, mask, sums, &counters)
        } else {
            try accumulateChunks(block, slab, mask, sums, &counters)
        }
    }

    /// One query against rows that need no checksum any more.
    private func accumulateVerified(
        _ block: borrowing BlockReader, _ slab: Int, _ mask: [Bool]?,
        _ sums: UnsafeMutablePointer<Accumulator>, _ counters: inout ScanCounters
    ) {
        guard let query = queries.first else { return }
        block.forEachRun(mask: mask) { rows, bytes in
            let sums = sums + rows.lowerBound
            if isSinglePrecision {
                codec.estimate(bytes, rowCount: rows.count, slab: slab, query: query, into: sums)
            } else {
                codec.accumulate(bytes, rowCount: rows.count, slab: slab, query: query, into: sums)
            }
            count(rows, bytes, slab, &counters)
        }
    }

    /// Chunk by chunk: the first query takes the checksum along, the others find the chunk in the
    /// cache.
    private func accumulateChunks(
        _ block: borrowing BlockReader, _ slab: Int, _ mask: [Bool]?,
        _ sums: UnsafeMutablePointer<Accumulator>, _ counters: inout ScanCounters
    ) throws {
        let rowCount = block.layout.rows
        guard let first = queries.first else { return }
        // A chunk none of whose rows count is neither read nor verified.
        try block.forEachChunk(mask: mask) { chunk in
            let sums = sums + chunk.rows.lowerBound
            let hash =
                isSinglePrecision
                ? codec.hashAndEstimate(
                    chunk.bytes, rowCount: chunk.rows.count, slab: slab, query: first, into: sums)
                : codec.hashAndAccumulate(
                    chunk.bytes, rowCount: chunk.rows.count, slab: slab, query: first, into: sums)
            try block.verify(chunk, hash: hash)
            for number in queries.indices.dropFirst() {
                codec.accumulate(
                    chunk.bytes, rowCount: chunk.rows.count, slab: slab, query: queries[number],
                    into: sums + number * rowCount)
            }
            count(chunk.rows, chunk.bytes, slab, &counters)
        }
    }

    /// Verifies runs of chunks, then scores each against all queries while it is in the cache.
    private func accumulateRuns(
        _ block: borrowing BlockReader, _ slab: Int, _ mask: [Bool]?,
        _ sums: UnsafeMutablePointer<Accumulator>, _ counters: inout ScanCounters,
        _ score: (UnsafeRawBufferPointer, Int, UnsafeMutablePointer<Accumulator>) -> Void
    ) throws {
        let stride = block.layout.stride
        var run: (rows: Range<Int>, bytes: UnsafeRawBufferPointer)?
        func scoreRun() {
            guard let verified = run else { return }
            run = nil
            score(
                verified.bytes, verified.rows.count,
                sums + verified.rows.lowerBound * queries.count)
        }
        try block.forEachChunk(mask: mask) { chunk in
            try verify(block, chunk)
            count(chunk.rows, chunk.bytes, slab, &counters)
            if let verified = run, verified.rows.upperBound == chunk.rows.lowerBound {
                run = (
                    verified.rows.lowerBound..<chunk.rows.upperBound,
                    UnsafeRawBufferPointer(
                        start: verified.bytes.baseAddress,
                        count: verified.bytes.count + chunk.bytes.count)
                )
            } else {
                scoreRun()
                run = (chunk.rows, chunk.bytes)
            }
            if (run?.rows.count ?? 0) * stride >= QueryBatch.rowBytes { scoreRun() }
        }
        scoreRun()
    }

    /// - Throws: `.corrupt` unless the chunk has its checksum, now or when it was looked at before.
    func verify(_ block: borrowing BlockReader, _ chunk: BlockReader.Chunk) throws {
        guard !block.isVerified else { return }
        try block.verify(chunk, hash: kernels.hash(chunk.bytes))
    }

    private func count(
        _ rows: Range<Int>, _ bytes: UnsafeRawBufferPointer, _ slab: Int,
        _ counters: inout ScanCounters
    ) {
        counters.bytes += UInt64(bytes.count)
        counters.multiplications += UInt64(
            rows.count * codec.dims(ofSlab: slab) * queries.count)
    }

    /// Adds the layer's dot products to `scores`, and if there is room for them, the errors.
    func finish(
        _ sums: UnsafePointer<Accumulator>, rows: [RowStatistics], scratch: ScanScratch,
        into scores: inout RunningScores
    ) {
        let rowCount = rows.count
        let asVariance = scores.errorsAreVariances
        // A batch leaves its sums row by row, single queries leave them query by query.
        let (rowStep, queryStep) = isRowMajor ? (queries.count, 1) : (1, rowCount)
        for number in queries.indices {
            scores.withRow(of: number) { dots, errors in
                let sums = sums + number * queryStep
                guard let errors else {
                    terms[number].add(sums, step: rowStep, rows: rows, to: dots)
                    return
                }
                scratch.withZeroedDots(count: rowCount) { layer in
                    terms[number].add(sums, step: rowStep, rows: rows, to: layer)
                    self.errors[number].add(
                        rows: rows, dots: layer, asVariance: asVariance, to: errors)
                    for row in 0..<rowCount { dots[row] += layer[row] }
                }
            }
        }
        scores.addSquaredNorms(rows)
    }
}
