// Each row at one checkpoint beside itself at another. The row groups of the first are taken in stored
// order; of the second only the chunks that hold the same rows are read, wherever they lie. A chunk is
// verified just before its rows are scored. Nothing is copied or decoded.

/// The rows of two checkpoints, side by side.
package struct PairScan: Sendable {
    package let view: TableView
    package let columns: [ScanColumn]
    /// The row groups of both checkpoints.
    package let first: [ScanUnit]
    package let second: [ScanUnit]
    private let scans: [Scan]
    private let filter: RowSet?
    private let threads: Int
    private let cancellation: Cancellation
    private let firstIndex: RowIndex
    private let secondIndex: RowIndex
    private let codecs: [any Codec]
    private let kernels: KernelSet

    /// Rows of one row group, those that count.
    package struct Rows: Sendable {
        /// Row numbers, in stored order.
        package var rows: [UInt64] = []
        /// Whether the other checkpoint has the row too.
        package var isPaired: [Bool] = []
        /// By column, then by row: squared norms there and at the other checkpoint, dot products. Of a
        /// row that is not paired only the first means something.
        package var squaredNorms: [[Double]] = []
        package var otherSquaredNorms: [[Double]] = []
        package var dots: [[Double]] = []
        /// What was read for them, at both checkpoints.
        package var counters = ScanCounters()
    }

    /// - Parameters:
    ///   - columns: the layers that count, in the table's order, in their defining encodings.
    ///   - filter: rows that count; nil is all.
    /// - Throws: `.corrupt`, `.io`, `.interrupted`.
    package init(
        _ view: TableView, _ first: CheckpointDocument, _ second: CheckpointDocument,
        columns: [ScanColumn], filter: RowSet?, threads: Int, cancellation: Cancellation
    ) throws {
        self.view = view
        self.columns = columns
        self.filter = filter
        self.threads = threads
        self.cancellation = cancellation
        let kernels = try KernelSet.chosen()
        self.kernels = kernels
        codecs = try columns.map { try view.table.codec($0.layer, $0.encoding.codec, kernels) }
        // They only say what will be read.
        scans = try [first, second].map {
            try Scan(
                ScanRequest(
                    view: view, checkpoint: $0, columns: columns, queries: [], filter: nil,
                    threads: threads, cancellation: cancellation))
        }
        self.first = scans[0].units
        self.second = scans[1].units
        firstIndex = try RowIndex(view, self.first, threads: threads, cancellation)
        secondIndex = try RowIndex(view, self.second, threads: threads, cancellation)
    }

    /// Row groups that are held at a time, for each thread.
    private static let batch = 8

    /// Calls `consume` with what `body` made of each row group of the first checkpoint, and then, of
    /// each row group of the second one, of the rows that the first lacks: in that order, on the
    /// caller's thread. `body` runs on any.
    ///
    /// - Parameter progress: called now and then, with the share that is done.
    ///
    /// - Returns: what was read.
    package func run<Value: Sendable>(
        progress: (Double) -> Void,
        _ body: @escaping @Sendable (_ isFirst: Bool, Rows) throws -> Value,
        consume: (Value) throws -> Void
    ) throws -> ScanCounters {
        let started = ContinuousClock.now
        var counters = ScanCounters()
        defer { EngineMetrics.scanned(counters, since: started) }
        // Where few rows count, so may their blocks be: better none than too many.
        let isDense = filter.map { 3 * $0.count >= Int(view.rowLimit) } ?? true
        let ahead = isDense ? scans.compactMap { Prefetch($0) { $0 } } : []
        defer { for prefetch in ahead { prefetch.stop() } }
        let total = first.count + second.count
        var start = 0
        while start < total {
            let end = min(total, start + Self.batch * max(1, threads))
            let values = try Parallel.map(end - start, threads: threads) {
                [start] number -> (ScanCounters, Value) in
                try cancellation.check()
                let unit = start + number
                guard unit < first.count else {
                    let rows = try rest(second[unit - first.count])
                    return (rows.counters, try body(false, rows))
                }
                // Checkpoints mostly have the same rows in the same order.
                for prefetch in ahead { prefetch.begun(unit) }
                let rows = try PairWorker(self).rows(of: first[unit])
                return (rows.counters, try body(true, rows))
            }
            for (count, value) in values {
                counters += count
                try consume(value)
            }
            start = end
            // Of the rows of the second one hardly any are left.
            progress(min(1, Double(end) / Double(max(1, first.count))))
        }
        return counters
    }

    private func counts(_ row: UInt64) -> Bool { filter?.contains(row) ?? true }

    /// Rows of the second checkpoint that the first lacks.
    private func rest(_ unit: ScanUnit) throws -> Rows {
        let rows = try view.rowMap(unit.segment, group: unit.group)
        let indices = rows.indices.filter {
            counts(rows[$0]) && firstIndex.place(of: rows[$0]) == nil
        }
        var found = Rows()
        guard !indices.isEmpty else { return found }
        found.rows = indices.map { rows[$0] }
        found.isPaired = [Bool](repeating: false, count: indices.count)
        for column in columns.indices {
            let statistics = try block(unit, column, slab: 0).statistics()
            found.squaredNorms.append(indices.map { statistics[$0].squaredNorm })
        }
        return found
    }

    private func block(_ unit: ScanUnit, _ column: Int, slab: Int) throws -> BlockReader {
        let encoding = columns[column].encoding
        return try BlockReader(
            view.store, view.blockKey(encoding, unit.segment, group: unit.group, slab: slab),
            rows: unit.segment.rows(ofGroup: unit.group), codec: codecs[column],
            kind: encoding.codec, kernels: kernels, trusting: view.store.verifiedBlocks)
    }

    /// What scores the rows of one row group.
    private struct PairWorker {
        private let scan: PairScan

        init(_ scan: PairScan) { self.scan = scan }

        /// A row of the group and the same row at the other checkpoint.
        private struct Pair {
            /// Position among the rows that count.
            var number: Int
            var index: Int
            var other: RowIndex.Place
        }

        func rows(of unit: ScanUnit) throws -> Rows {
            let all = try scan.view.rowMap(unit.segment, group: unit.group)
            let indices = all.indices.filter { scan.counts(all[$0]) }
            var found = Rows()
            guard !indices.isEmpty else { return found }
            found.rows = indices.map { all[$0] }
            let places = found.rows.map(scan.secondIndex.place)
            found.isPaired = places.map { $0 != nil }
            found.counters.rows = indices.count
            found.counters.rowGroups = 1
            let pairs = places.enumerated().compactMap { number, place in
                place.map { Pair(number: number, index: indices[number], other: $0) }
            }
            // By row group of the other checkpoint; within it as they are stored in this one.
            let groups = Dictionary(grouping: pairs, by: \.other.unit)
                .sorted { $0.key < $1.key }
            for column in scan.columns.indices {
                try score(column, unit, indices, groups, into: &found)
            }
            return found
        }

        private func score(
            _ column: Int, _ unit: ScanUnit, _ indices: [Int],
            _ groups: [(key: Int, value: [Pair])], into found: inout Rows
        ) throws {
            let codec = scan.codecs[column]
            let pair = RowPair(scan.columns[column].encoding.codec, codec, scan.kernels)
            var sums = [Accumulator](repeating: Accumulator(), count: indices.count)
            var norms: [Double] = []
            var otherNorms = [Double](repeating: 0, count: indices.count)
            var statistics: [RowStatistics] = []
            var others = [RowStatistics](
                repeating: RowStatistics(scale: 0, squaredNorm: 0), count: indices.count)
            for slab in 0..<codec.geometry.slabCount {
                try scan.cancellation.check()
                let block = try scan.block(unit, column, slab: slab)
                if slab == 0 {
                    let all = block.statistics()
                    statistics = indices.map { all[$0] }
                    norms = statistics.map(\.squaredNorm)
                }
                var verified = VerifiedChunks(block)
                for (number, pairs) in groups {
                    let other = try scan.block(scan.second[number], column, slab: slab)
                    if slab == 0 {
                        let all = other.statistics()
                        for pair in pairs { others[pair.number] = all[pair.other.index] }
                    }
                    var otherVerified = VerifiedChunks(other)
                    for place in pairs {
                        try verified.row(place.index, block, scan.kernels) { row in
                            try otherVerified.row(place.other.index, other, scan.kernels) {
                                pair.add(row, $0, slab: slab, to: &sums[place.number])
                            }
                        }
                    }
                    found.counters += otherVerified.counters
                }
                found.counters += verified.counters
                found.counters.multiplications += UInt64(
                    codec.dims(ofSlab: slab) * groups.reduce(0) { $0 + $1.value.count })
            }
            var dots = [Double](repeating: 0, count: indices.count)
            for place in groups.lazy.flatMap(\.value) {
                let number = place.number
                dots[number] = pair.dot(sums[number], statistics[number], others[number])
                otherNorms[number] = others[number].squaredNorm
            }
            found.squaredNorms.append(norms)
            found.otherSquaredNorms.append(otherNorms)
            found.dots.append(dots)
        }
    }
}

/// Which chunks of a block have been verified.
private struct VerifiedChunks {
    private var isVerified: [Bool]
    /// The block, and the payload bytes of chunks that were looked at.
    private(set) var counters = ScanCounters()
    private let trusts: Bool

    init(_ block: borrowing BlockReader) {
        isVerified = [Bool](repeating: false, count: block.layout.chunkCount)
        trusts = block.isVerified
        counters.blocks = 1
        counters.verifiedBlocks = trusts ? 0 : 1
    }

    /// Calls `body` with the bytes of a row.
    ///
    /// - Throws: `.corrupt` where its chunk fails its checksum; what `body` throws.
    mutating func row(
        _ row: Int, _ block: borrowing BlockReader, _ kernels: KernelSet,
        _ body: (UnsafeRawPointer) throws -> Void
    ) throws {
        try block.withChunk(holding: row) { chunk in
            if !isVerified[chunk.index] {
                isVerified[chunk.index] = true
                counters.bytes += UInt64(chunk.bytes.count)
                if !trusts { try block.verify(chunk, hash: kernels.hash(chunk.bytes)) }
            }
            guard let start = chunk.bytes.baseAddress else { return }
            try body(start + (row - chunk.rows.lowerBound) * block.layout.stride)
        }
    }
}
