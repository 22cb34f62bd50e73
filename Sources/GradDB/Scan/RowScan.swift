// Scoring single rows that an earlier pass chose. Rows of a row group are read together, in stored
// order, and of each block only the chunks that hold one of them.

/// A row to be scored, by where it lies.
package struct RowPlace: Sendable {
    /// Which of the scan's units.
    package var unit: Int
    /// Counted within the row group.
    package var index: Int
    /// The queries that it is scored against.
    package var queries: [Int]

    package init(unit: Int, index: Int, queries: [Int]) {
        self.unit = unit
        self.index = index
        self.queries = queries
    }
}

/// What the scoring of one row gave.
package struct RowScores {
    package let place: RowPlace
    /// The row's number.
    package let row: UInt64
    package let squaredNorm: Double
    /// By position in the place's `queries`.
    package let dots: ArraySlice<Double>
    /// As for `GroupScores`; empty where they are exact.
    package let errors: ArraySlice<Double>
}

extension Scan {
    /// Scores rows against the queries that each names. `consume` is called once for each row, on
    /// any of `workerCount` threads; the request's filter, deadline and `mayMatter` do not count.
    package func run(
        rows places: [RowPlace],
        _ consume: @escaping @Sendable (_ worker: Int, _ scores: RowScores) throws -> Void
    ) throws -> ScanCounters {
        let started = ContinuousClock.now
        let sorted = places.sorted { ($0.unit, $0.index) < ($1.unit, $1.index) }
        let groups = sorted.chunked { $0.unit == $1.unit }
        let workers = (0..<workerCount).map { _ in RowScanWorker(self) }
        try Parallel.forEach(groups.count, threads: workerCount) { index, worker in
            try request.cancellation.check()
            try workers[worker].scan(groups[index]) { try consume(worker, $0) }
        }
        let counters = workers.reduce(into: ScanCounters()) { $0 += $1.counters }
        EngineMetrics.scanned(counters, since: started)
        return counters
    }
}

private final class RowScanWorker: @unchecked Sendable {  // used by one thread at a time
    private let scan: Scan
    private let errorsAreVariances: Bool
    private(set) var counters = ScanCounters()
    // By place and query, one place's queries after the other's.
    private var sums: [Accumulator] = []
    private var dots: [Double] = []
    private var errors: [Double] = []
    private var squaredNorms: [Double] = []

    init(_ scan: Scan) {
        self.scan = scan
        errorsAreVariances = scan.columns.contains { $0.errors.contains(where: \.isRandom) }
    }

    /// Scores places of one row group, in stored order.
    func scan(_ places: ArraySlice<RowPlace>, _ consume: (RowScores) throws -> Void) throws {
        guard let unit = places.first.map({ scan.units[$0.unit] }) else { return }
        let rows = try scan.request.view.rowMap(unit.segment, group: unit.group)
        let pairs = places.reduce(0) { $0 + $1.queries.count }
        dots.reset(count: pairs, to: 0)
        errors.reset(count: pairs, to: 0)
        squaredNorms.reset(count: places.count, to: 0)
        for column in scan.columns { try scan(column, unit, places, rowCount: rows.count) }
        if let norms = try scan.request.squaredNorms?(unit) {
            for (number, place) in places.enumerated() { squaredNorms[number] = norms[place.index] }
        }
        counters.rowGroups += 1
        counters.rows += places.count
        var first = 0
        for (place, squaredNorm) in zip(places, squaredNorms) {
            let range = first..<first + place.queries.count
            first = range.upperBound
            if errorsAreVariances { for pair in range { errors[pair].formSquareRoot() } }
            try consume(
                RowScores(
                    place: place, row: rows[place.index], squaredNorm: squaredNorm,
                    dots: dots[range], errors: errors[range]))
        }
    }

    private func scan(
        _ column: ColumnScorer, _ unit: ScanUnit, _ places: ArraySlice<RowPlace>, rowCount: Int
    ) throws {
        sums.reset(count: dots.count, to: Accumulator())
        var statistics: [RowStatistics] = []
        for slab in 0..<column.column.slabs {
            try scan.request.cancellation.check()
            let block = try column.block(scan.request.view, unit, rows: rowCount, slab: slab)
            if slab == 0 {
                let all = block.statistics()
                statistics = places.map { all[$0.index] }
            }
            try column.accumulate(block, slab: slab, places: places, &sums, &counters)
        }
        var pair = 0
        for (number, place) in places.enumerated() {
            squaredNorms[number] += statistics[number].squaredNorm
            for query in place.queries {
                column.finish(
                    sums[pair], query: query, row: statistics[number],
                    asVariance: errorsAreVariances, dot: &dots[pair], error: &errors[pair])
                pair += 1
            }
        }
    }
}

extension ColumnScorer {
    /// Verifies the chunks that hold one of `places`, and adds each place's sums.
    fileprivate func accumulate(
        _ block: borrowing BlockReader, slab: Int, places: ArraySlice<RowPlace>,
        _ sums: inout [Accumulator], _ counters: inout ScanCounters
    ) throws {
        counters.blocks += 1
        if !block.isVerified { counters.verifiedBlocks += 1 }
        let stride = block.layout.stride
        var remaining = places
        var pair = 0
        try sums.withUnsafeMutableBufferPointer { sums in
            guard let sums = sums.baseAddress else { return }
            try block.forEachChunk(holding: places.lazy.map(\.index)) { chunk in
                try verify(block, chunk)
                if !block.isVerified { counters.bytes += UInt64(chunk.bytes.count) }
                while let place = remaining.first, place.index < chunk.rows.upperBound {
                    remaining.removeFirst()
                    let start = (place.index - chunk.rows.lowerBound) * stride
                    let row = UnsafeRawBufferPointer(
                        rebasing: chunk.bytes[start..<start + stride])
                    if block.isVerified { counters.bytes += UInt64(row.count) }
                    for query in place.queries {
                        codec.accumulate(
                            row, rowCount: 1, slab: slab, query: queries[query],
                            into: sums + pair)
                        pair += 1
                    }
                    counters.multiplications += UInt64(
                        codec.dims(ofSlab: slab) * place.queries.count)
                }
            }
        }
    }

    /// Adds one row's dot product with one query, and its error.
    fileprivate func finish(
        _ sum: Accumulator, query: Int, row: RowStatistics, asVariance: Bool, dot: inout Double,
        error: inout Double
    ) {
        var layer = 0.0
        withUnsafePointer(to: sum) { terms[query].add($0, step: 1, rows: [row], to: &layer) }
        errors[query].add(rows: [row], dots: &layer, asVariance: asVariance, to: &error)
        dot += layer
    }
}

extension Array {
    /// Runs of neighbours that belong together.
    fileprivate func chunked(_ belong: (Element, Element) -> Bool) -> [ArraySlice<Element>] {
        var runs: [ArraySlice<Element>] = []
        var start = startIndex
        for index in indices.dropFirst() where !belong(self[index - 1], self[index]) {
            runs.append(self[start..<index])
            start = index
        }
        if start < endIndex { runs.append(self[start..<endIndex]) }
        return runs
    }
}
