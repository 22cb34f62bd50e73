// The scan operator: row groups are handed out to threads; each reads the group's blocks layer by
// layer and slab by slab, verifies a chunk, scores it while it is in the cache, and adds up.
//
// Nothing depends on which thread took which group: every score is a fixed expression of one row
// and one query, and the consumer orders rows by score and row number.

package struct Scan: Sendable {
    private(set) var request: ScanRequest
    let columns: [ColumnScorer]
    /// By query and column, norms of the queries as they are scored; only where rows may be
    /// excluded by norms.
    fileprivate let queryNorms: [[Double]]
    /// The row groups, in the order in which they are handed out.
    package let units: [ScanUnit]

    package init(_ request: ScanRequest) throws {
        self.request = request
        let kernels = try KernelSet.chosen()
        columns = try request.columns.enumerated().map { index, column in
            try ColumnScorer(
                column, request.view.table, queries: request.queries.map { $0[index] },
                kernels: kernels)
        }
        queryNorms =
            request.mayMatter == nil ? [] : request.queries.map { $0.map(\.decodedNorm) }
        units = request.view.units(of: request.checkpoint)
    }

    /// Threads that will call `consume`, each with its own worker number.
    package var workerCount: Int { max(1, min(request.threads, units.count)) }

    /// Whether devices that blocks are brought to can run it: where scores are as they are defined, there is
    /// no limit of time, and no more queries than a grid can have.
    var mayRunOnDevices: Bool {
        request.deadline == nil && request.queries.count <= DeviceKernels.mostY
            && columns.allSatisfy { column in
                column.errors.allSatisfy { if case .none = $0 { true } else { false } }
            }
    }

    /// The same with fewer threads.
    func limited(toThreads threads: Int) -> Scan {
        var limited = self
        limited.request.threads = threads
        return limited
    }

    /// Scans everything, or until the deadline. `consume` gets each row group's scores on the
    /// thread that computed them; it must not keep the pointers.
    package func run(
        _ consume: @escaping @Sendable (_ worker: Int, _ scores: GroupScores) throws -> Void
    ) throws -> ScanCounters {
        try run(ScanConsumer(groups: consume))
    }

    /// Scans everything, or until the deadline, on the device that is asked for.
    package func run(_ consumer: ScanConsumer) throws -> ScanCounters {
        let started = ContinuousClock.now
        let all = Array(units.indices)
        var counters: ScanCounters
        if let use = request.device, use.device.canRun(self) {
            counters = try run(all, consumer, on: use)
        } else {
            counters = try runHere(all, consumer.groups)
        }
        EngineMetrics.scanned(counters, since: started)
        return counters
    }

    /// Where the device fails, the processor does what is left.
    private func run(
        _ units: [Int], _ consumer: ScanConsumer, on use: DeviceUse
    ) throws -> ScanCounters {
        var isDone = [Bool](repeating: false, count: units.count)
        do {
            return try use.device.run(self, units: units, consumer) { done in
                for unit in done { isDone[unit] = true }
            }
        } catch let error as DeviceError {
            guard !use.isRequired else { throw GradDBError(.failed, error.message) }
            var counters = try runHere(units.filter { !isDone[$0] }, consumer.groups)
            counters.device = DeviceCounters(name: use.device.name)
            counters.device?.failure = error.message
            return counters
        }
    }

    /// Scans some units on the processor.
    private func runHere(
        _ numbers: [Int],
        _ consume: @escaping @Sendable (_ worker: Int, _ scores: GroupScores) throws -> Void
    ) throws -> ScanCounters {
        let columns = self.columns.map { $0.batched() }
        let workers = (0..<workerCount).map { ScanWorker(self, columns, number: $0) }
        // Where most rows are passed over, so may their blocks be: better none than too many.
        let isDense = request.filter.map { 3 * $0.count >= Int(request.view.rowLimit) } ?? true
        let prefetch = isDense ? Prefetch(self, order: order) : nil
        defer { prefetch?.stop() }
        try Parallel.forEach(numbers.count, threads: workerCount) { turn, worker in
            try request.cancellation.check()
            if let deadline = request.deadline {
                // Even the shortest time gives an answer.
                guard turn < workerCount || ContinuousClock.now < deadline else { return }
            }
            prefetch?.begun(turn)
            try workers[worker].scan(numbers[order(turn)]) { scores in try consume(worker, scores) }
        }
        return workers.reduce(into: ScanCounters()) { $0 += $1.counters }
    }

    /// The unit that is scanned at a turn. Under a deadline, those that are left out should be
    /// spread over the table.
    func order(_ turn: Int) -> Int {
        // A prime is coprime to any count but its multiples.
        let prime = 7_919
        guard request.deadline != nil, units.count % prime != 0 else { return turn }
        return turn * prime % units.count
    }
}

/// One thread's state.
private final class ScanWorker: @unchecked Sendable {  // used by one thread at a time
    private let scan: Scan
    private let columns: [ColumnScorer]
    private let number: Int
    private let scratch = ScanScratch()
    private var scores: RunningScores
    private(set) var counters = ScanCounters()

    init(_ scan: Scan, _ columns: [ColumnScorer], number: Int) {
        self.scan = scan
        self.columns = columns
        self.number = number
        scores = RunningScores(columns)
    }

    func scan(_ index: Int, _ consume: (GroupScores) throws -> Void) throws {
        let request = scan.request
        let unit = scan.units[index]
        let rows = try request.view.rowMap(unit.segment, group: unit.group)
        var mask = request.filter.map { filter in rows.map(filter.contains) }
        counters.consideredRows += mask.map { $0.count { $0 } } ?? rows.count
        try excludeByNorms(unit, rows: rows.count, &mask)
        if let mask, !mask.contains(true) {
            counters.skippedRowGroups += 1
            return
        }
        scores.reset(rows: rows.count, queries: request.queries.count)
        for column in columns {
            let skips = mask.flatMap { column.paysToSkip($0) ? $0 : nil }
            try scan(column, unit, rows: rows.count, skips)
        }
        if let squaredNorms = request.squaredNorms {
            scores.replaceSquaredNorms(by: try squaredNorms(unit))
        }
        scores.complete()
        counters.rows += mask.map { $0.count { $0 } } ?? rows.count
        counters.rowGroups += 1
        try scores.withScores(unit: index, rows: rows, mask: mask, consume)
    }

    /// Adds one layer's dot products and squared norms.
    private func scan(
        _ column: ColumnScorer, _ unit: ScanUnit, rows: Int, _ mask: [Bool]?
    ) throws {
        let request = scan.request
        try scratch.withZeroedSums(count: rows * column.queries.count) { sums in
            var statistics: [RowStatistics] = []
            for slab in 0..<column.column.slabs {
                try request.cancellation.check()
                let block = try column.block(request.view, unit, rows: rows, slab: slab)
                if slab == 0 { statistics = block.statistics() }
                try column.accumulate(
                    block, slab: slab, mask: mask, scratch: scratch, into: sums, &counters)
                if !block.isVerified {
                    counters.verifiedBlocks += 1
                    if mask == nil { request.view.store.verifiedBlocks.insert(block.key) }
                }
            }
            column.finish(sums, rows: statistics, scratch: scratch, into: &scores)
        }
    }

    /// Takes out rows whose norms alone show that they cannot matter: a dot product is at most the
    /// product of the norms (Cauchy and Schwarz), and the norms stand at the head of the blocks.
    private func excludeByNorms(_ unit: ScanUnit, rows: Int, _ mask: inout [Bool]?) throws {
        let request = scan.request
        let nothing = [Double](repeating: 0, count: request.queries.count)
        guard let mayMatter = request.mayMatter, !mayMatter(number, nothing) else { return }
        var norms: [[Double]] = []
        for column in scan.columns {
            let block = try column.block(request.view, unit, rows: rows, slab: 0)
            // The norm of what is decoded, which is what is scored.
            norms.append(
                block.statistics().map {
                    ($0.squaredNorm + Double($0.residualNorm) * Double($0.residualNorm))
                        .squareRoot()
                })
        }
        /// More than the rounding of residual norms to single precision.
        let slack = 1 + 1e-6
        func bounds(_ norm: (Int) -> Double) -> [Double] {
            request.queries.indices.map { query in
                slack
                    * scan.columns.indices.reduce(0) {
                        $0 + scan.queryNorms[query][$1] * norm($1)
                    }
            }
        }
        let largest = norms.map { $0.max() ?? 0 }
        guard mayMatter(number, bounds { largest[$0] }) else {
            mask = [Bool](repeating: false, count: rows)
            return
        }
        let least = norms.map { $0.min() ?? 0 }
        guard !mayMatter(number, bounds { least[$0] }) else { return }
        var kept = mask ?? [Bool](repeating: true, count: rows)
        for row in 0..<rows where kept[row] {
            kept[row] = mayMatter(number, bounds { norms[$0][row] })
        }
        mask = kept
    }
}
