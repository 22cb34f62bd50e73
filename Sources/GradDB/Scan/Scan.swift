// The scan operator: row groups are handed out to threads; each reads the group's blocks layer by
// layer and slab by slab, verifies a chunk, scores it while it is in the cache, and adds up.
//
// Nothing depends on which thread took which group: every score is a fixed expression of one row
// and one query, and the consumer orders rows by score and row number.

package struct Scan: Sendable {
    private let request: ScanRequest
    private let kernels: KernelSet
    private let encodings: [LayerEncoding]
    private let codecs: [any Codec]
    /// By layer; nil where queries are scored one by one.
    private let batches: [QueryBatch?]
    private let units: [Unit]

    /// One row group: what a thread takes at a time.
    private struct Unit: Sendable {
        var segment: SegmentDocument
        var group: Int
    }

    package init(_ request: ScanRequest) throws {
        self.request = request
        kernels = try KernelSet.chosen()
        let table = request.view.table
        let kernels = self.kernels
        encodings = try request.layers.map(request.view.finestEncoding)
        codecs = try zip(request.layers, encodings).map { try table.codec($0, $1.codec, kernels) }
        batches = zip(codecs, request.layers.indices).map { codec, layer in
            QueryBatch(request.queries.map { $0[layer] }, codec: codec)
        }
        units = request.view.segments(of: request.checkpoint).flatMap { segment in
            (0..<segment.rowGroups).map { Unit(segment: segment, group: $0) }
        }
    }

    /// Threads that will call `consume`, each with its own worker number.
    package var workerCount: Int { max(1, min(request.threads, units.count)) }

    /// Scans everything. `consume` gets each row group's scores on the thread that computed them;
    /// it must not keep the pointers.
    package func run(
        _ consume: @escaping @Sendable (_ worker: Int, _ scores: GroupScores) throws -> Void
    ) throws -> ScanCounters {
        let workers = (0..<workerCount).map { _ in
            ScanWorker(
                request: request, encodings: encodings, codecs: codecs, batches: batches,
                kernels: kernels)
        }
        try Parallel.forEach(units.count, threads: workerCount) { index, worker in
            try request.cancellation.check()
            let unit = units[index]
            try workers[worker].scan(unit.segment, group: unit.group) { scores in
                try consume(worker, scores)
            }
        }
        return workers.reduce(into: ScanCounters()) { $0 += $1.counters }
    }
}

/// One thread's state: buffers that are reused from row group to row group.
private final class ScanWorker: @unchecked Sendable {  // used by one thread at a time
    private let request: ScanRequest
    private let encodings: [LayerEncoding]
    private let codecs: [any Codec]
    private let batches: [QueryBatch?]
    private let kernels: KernelSet
    private var sums: [Accumulator] = []
    private var dots: [Double] = []
    private var squaredNorms: [Double] = []
    private(set) var counters = ScanCounters()

    init(
        request: ScanRequest, encodings: [LayerEncoding], codecs: [any Codec],
        batches: [QueryBatch?], kernels: KernelSet
    ) {
        self.request = request
        self.encodings = encodings
        self.codecs = codecs
        self.batches = batches
        self.kernels = kernels
    }

    func scan(
        _ segment: SegmentDocument, group: Int, _ consume: (GroupScores) throws -> Void
    ) throws {
        let rows = try request.view.rowMap(segment, group: group)
        let mask = request.filter.map { filter in rows.map(filter.contains) }
        if let mask, !mask.contains(true) {
            counters.skippedRowGroups += 1
            return
        }
        let queries = request.queries.count
        reset(&dots, count: rows.count * queries)
        reset(&squaredNorms, count: rows.count)
        for layer in request.layers.indices {
            try scan(layer, segment, group: group, rows: rows.count, mask: mask)
        }
        counters.rows += mask.map { $0.count { $0 } } ?? rows.count
        counters.rowGroups += 1
        try dots.withUnsafeBufferPointer { dots in
            try squaredNorms.withUnsafeBufferPointer { norms in
                try consume(
                    GroupScores(rows: rows, mask: mask, dots: dots, squaredNorms: norms))
            }
        }
    }

    /// Adds one layer's dot products and squared norms.
    private func scan(
        _ index: Int, _ segment: SegmentDocument, group: Int, rows: Int, mask: [Bool]?
    ) throws {
        let encoding = encodings[index]
        let codec = codecs[index]
        let queries = request.queries.map { $0[index] }
        reset(&sums, count: rows * queries.count)
        var statistics: [RowStatistics] = []
        for slab in 0..<codec.geometry.slabCount {
            try request.cancellation.check()
            let block = try BlockReader(
                request.view.store,
                request.view.blockKey(encoding, segment, group: group, slab: slab),
                rows: rows, codec: codec, kind: encoding.codec, kernels: kernels)
            if slab == 0 { statistics = block.statistics() }
            counters.blocks += 1
            if let batch = batches[index] {
                try accumulate(block, slab: slab, codec: codec, batch: batch, mask: mask)
            } else {
                try accumulate(block, slab: slab, codec: codec, queries: queries, mask: mask)
            }
        }
        for row in 0..<rows { squaredNorms[row] += statistics[row].squaredNorm }
        // A batch leaves its sums row by row, single queries leave them query by query.
        let (rowStep, queryStep) = batches[index] == nil ? (1, rows) : (queries.count, 1)
        for (number, query) in queries.enumerated() {
            for row in 0..<rows {
                dots[number * rows + row] += codec.finish(
                    sums[row * rowStep + number * queryStep], row: statistics[row], query: query)
            }
        }
    }

    /// Verifies and scores one block, chunk by chunk: the first query takes the checksum along, the
    /// others find the chunk in the cache.
    private func accumulate(
        _ block: borrowing BlockReader, slab: Int, codec: any Codec, queries: [EncodedQuery],
        mask: [Bool]?
    ) throws {
        let rowCount = block.layout.rows
        let dims = codec.dims(ofSlab: slab)
        guard let first = queries.first else { return }
        try sums.withUnsafeMutableBufferPointer { sums in
            guard let sums = sums.baseAddress else { return }
            // A chunk none of whose rows count is neither read nor verified.
            try block.forEachChunk(mask: mask) { chunk in
                let sums = sums + chunk.rows.lowerBound
                let hash = codec.hashAndAccumulate(
                    chunk.bytes, rowCount: chunk.rows.count, slab: slab, query: first, into: sums)
                try block.verify(chunk, hash: hash)
                for number in queries.indices.dropFirst() {
                    codec.accumulate(
                        chunk.bytes, rowCount: chunk.rows.count, slab: slab,
                        query: queries[number], into: sums + number * rowCount)
                }
                count(chunk, dims: dims)
            }
        }
    }

    /// Verifies runs of chunks, then scores each against all queries while it is in the cache.
    private func accumulate(
        _ block: borrowing BlockReader, slab: Int, codec: any Codec, batch: QueryBatch,
        mask: [Bool]?
    ) throws {
        let stride = block.layout.stride
        let dims = codec.dims(ofSlab: slab)
        let queries = request.queries.count
        try sums.withUnsafeMutableBufferPointer { sums in
            guard let sums = sums.baseAddress else { return }
            var run: (rows: Range<Int>, bytes: UnsafeRawBufferPointer)?
            func score() {
                guard let verified = run else { return }
                run = nil
                batch.accumulate(
                    verified.bytes, rowCount: verified.rows.count, slab: slab,
                    into: sums + verified.rows.lowerBound * queries)
            }
            try block.forEachChunk(mask: mask) { chunk in
                try block.verify(chunk, hash: kernels.hash(chunk.bytes))
                count(chunk, dims: dims)
                if let verified = run, verified.rows.upperBound == chunk.rows.lowerBound {
                    run = (
                        verified.rows.lowerBound..<chunk.rows.upperBound,
                        UnsafeRawBufferPointer(
                            start: verified.bytes.baseAddress,
                            count: verified.bytes.count + chunk.bytes.count)
                    )
                } else {
                    score()
                    run = (chunk.rows, chunk.bytes)
                }
                if (run?.rows.count ?? 0) * stride >= QueryBatch.rowBytes { score() }
            }
            score()
        }
    }

    private func count(_ chunk: BlockReader.Chunk, dims: Int) {
        counters.bytes += UInt64(chunk.bytes.count)
        counters.multiplications += UInt64(chunk.rows.count * dims * request.queries.count)
    }

    private func reset(_ array: inout [Double], count: Int) {
        array.removeAll(keepingCapacity: true)
        array.append(contentsOf: repeatElement(0, count: count))
    }

    private func reset(_ array: inout [Accumulator], count: Int) {
        array.removeAll(keepingCapacity: true)
        array.append(contentsOf: repeatElement(Accumulator(), count: count))
    }
}
