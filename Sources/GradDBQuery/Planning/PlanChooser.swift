// Which of the ways to an answer is cheapest: each is priced by the machine's limits, and by looking
// at a few rows where nothing else tells: how many pass a condition, how far estimates are off.

import GradDB

/// Prices the plans of a statement.
struct PlanChooser {
    private let query: BoundQuery
    private let ladder: Ladder
    private let options: QueryOptions
    private let limits: MachineLimits
    private let parts: QueryParts
    private let filter: FilterSample?
    /// Rows of the checkpoint that has the most.
    private let rows: Double
    /// Of those rows, the share that is not deleted.
    private let liveShare: Double
    private let coldShare: Double

    init(_ query: BoundQuery, _ ladder: Ladder, options: QueryOptions) throws {
        self.query = query
        self.ladder = ladder
        self.options = options
        limits = MachineLimits(threads: options.threads)
        let largest = query.checkpoints.map(\.document).max {
            query.view.storedRowCount(of: $0) < query.view.storedRowCount(of: $1)
        }
        rows = largest.map { Double(query.view.storedRowCount(of: $0)) } ?? 0
        let live = try largest.map { Double(try query.view.rowCount(of: $0)) } ?? 0
        liveShare = live / max(1, rows)
        filter = try query.predicate.flatMap { predicate in
            predicate.constant == nil
                ? try FilterSample(predicate, query.view, options.cancellation) : nil
        }
        let passing = Int(rows * liveShare * (filter?.share ?? 1))
        parts = QueryParts(
            query, rowCount: passing, limits: query.limits.resolved(of: passing), options: options)
        coldShare =
            if let largest, let column = ladder.exact.columns.first {
                query.view.coldShare(of: largest, column)
            } else {
                0
            }
    }

    func choose() throws -> PlanChoice {
        var plans = try plans(.exact)
        var sample: ScoreSample?
        if let device = options.device, mayUseDevice {
            let seconds = try cost(on: device.device)
            let onDevice = plans.map { $0.moved(to: device.device, seconds) }
            // Whoever names a device wants no other plan.
            plans = device.isRequired ? onDevice : plans + onDevice
        }
        if options.device?.isRequired ?? false, mayUseDevice {
            // Scores are exact there, at the speed of its memory.
        } else if parts.route == .running {
            if BoundedSelection.mayPay(
                ladder.exact, queries: queries, wanted: Int(wanted), rows: Int(passing))
            {
                plans += try self.plans(.singlePrecision)
            }
            sample = try scoreSample()
            if let sample {
                for rung in ladder.rungs.indices {
                    plans += try self.plans(
                        .estimates(rung: rung), survivors: try survivors(sample, rung))
                }
            }
        }
        var choice = PlanChoice(
            among: plans, limitsAreMeasured: limits.isMeasured, filterSeconds: filterSeconds)
        choice.filter = filter
        if mayUseDevice {
            choice.deviceLimitsAreMeasured = options.device?.device.limits.isMeasured
        }
        choice.scoreSample = sample
        if let name = options.plan { try choice.take(name) }
        return choice
    }

    // MARK: what is known before

    /// Queries that are scored together.
    private var queries: Int { parts.parts.first?.count ?? 0 }
    private var answers: Double { query.isAnsweredOneByOne ? Double(queries) : 1 }
    /// Rows that are expected to pass the condition.
    private var passing: Double { rows * liveShare * (filter?.share ?? 1) }

    private var ends: [Int] {
        let limits = query.limits.resolved(of: Int(passing))
        return [limits.top, limits.bottom].filter { $0 > 0 }
    }

    private var wanted: Double { Double(max(1, ends.reduce(0, +))) }

    private var filterSeconds: Double {
        (filter?.secondsPerRow ?? 0) * Double(query.view.rowLimit) / Double(max(1, options.threads))
    }

    // MARK: estimates

    /// Few rows, scored on every rung; nil where estimates are not wanted, or cannot pay.
    private func scoreSample() throws -> ScoreSample? {
        guard query.accuracy != .exact, query.reduction == .each || query.reduction == .mean,
            !ladder.rungs.isEmpty, passing >= 8 * wanted, let input = try sampledInput()
        else { return nil }
        var pairs = ScoreSample.pairs
        if let seconds = query.budget {
            // A twentieth of the time, as single rows cost more than their bytes.
            let affordable =
                seconds * limits.memory / 2 / 20
                / Double(8 * max(1, ladder.exact.rowBytes))
            pairs = max(16, Int(min(affordable, Double(pairs))))
        }
        return try ScoreSample(input, ladder, pairs: pairs)
    }

    private func sampledInput() throws -> SelectionInput? {
        guard let checkpoint = query.checkpoints.first, let part = parts.parts.first else {
            return nil
        }
        return try SelectionInput(
            QueryPart(query, part, options: options), checkpoint.document, filter: nil,
            rowCount: Int(passing), limits: query.limits.resolved(of: Int(passing)),
            options: options)
    }

    /// Scores' tails are heavier than those of the normal distribution that the sample's estimate
    /// supposes, and leave about a quarter of its rows (docs/measurements.md, Plans).
    private static let tailShare = 0.25

    /// The share of rows that a rung is expected to leave to be looked at closer.
    private func survivors(_ sample: ScoreSample, _ rung: Int) throws -> Double {
        let interval = ProgressiveSelection.interval(
            query.accuracy, wanted: Int(wanted), rows: Int(passing))
        return Self.tailShare
            * ends.reduce(0.0) { left, wanted in
                left
                    + sample.survivors(
                        rung: rung, wanted: wanted, of: Int(passing), interval: interval)
            }
    }

    // MARK: the two places of a condition

    /// A way to score, with the condition before it, and behind it where that can pay.
    private func plans(
        _ scoring: SelectionPlan.Scoring, survivors: Double = 0
    ) throws -> [SelectionPlan] {
        let name = name(of: scoring)
        let passes = Double(parts.parts.count * max(1, query.checkpoints.count))
        let first = try cost(scoring, wanted: wanted, survivors: survivors, isMasked: true)
        let plan = SelectionPlan(
            name: name, scoring: scoring, bytes: first.bytes * passes,
            seconds: first.seconds * passes + filterSeconds)
        guard let filter, parts.route == .running, query.budget == nil,
            !query.limits.dependOnCount
        else { return [plan] }
        // So many that they hold the wanted ones, unless the condition goes with the score.
        let share = filter.share
        let needed = wanted / share + 4 * (wanted * (1 - share)).squareRoot() / share + 4
        guard 20 * needed <= rows else { return [plan] }
        let last = try cost(scoring, wanted: needed, survivors: survivors, isMasked: false)
        let asked = min(rows, wanted / share * answers * passes)
        return [
            plan,
            SelectionPlan(
                name: name + ", condition last", scoring: scoring, overshoot: needed / wanted,
                bytes: last.bytes * passes,
                seconds: last.seconds * passes + limits.records(asked)),
        ]
    }

    private func name(of scoring: SelectionPlan.Scoring) -> String {
        switch scoring {
        case .exact: "exact"
        case .singlePrecision: "single precision"
        case .estimates(let rung): "estimate by \(ladder.rungs[rung].label)"
        }
    }

    // MARK: devices

    /// Whether there is something to score that a device can.
    private var mayUseDevice: Bool { query.measure != .`self` && query.budget == nil }

    /// Bytes and seconds of all passes over whole rows on a device, beside each other: reading what is
    /// not there, scoring, and the products of a batch.
    private func cost(on device: any ScanDevice) throws -> Double {
        let limits = device.limits
        let kernels = try KernelSet.chosen()
        let passes = Double(parts.parts.count * max(1, query.checkpoints.count))
        let stored = try ladder.exact.columns.map { column in
            let codec = try query.view.table.codec(column.layer, column.encoding.codec, kernels)
            return (codec: column.encoding.codec, bytes: rows * Double(codec.rowBytes))
        }
        let bytes = rows * Double(ladder.exact.rowBytes)
        let staged = max(0, bytes - Double(limits.residentBytes))
        let products = rows * Double(query.layers.reduce(0) { $0 + $1.dims }) * Double(queries)
        // The first pass leaves on the device what fits there.
        let reading = max(staged / limits.bus, staged * coldShare / self.limits.disk)
        let scoring = limits.scoring(stored, queries: queries, products: products)
        return limits.start + max(reading, scoring) + (passes - 1) * scoring
            + passes * limits.passSeconds
    }

    // MARK: what passes cost

    private typealias Cost = (bytes: Double, seconds: Double)

    /// Of one part of the queries at one checkpoint.
    private func cost(
        _ scoring: SelectionPlan.Scoring, wanted: Double, survivors: Double, isMasked: Bool
    ) throws -> Cost {
        let (rung, again): (Rung, Double) =
            switch scoring {
            case .exact: (ladder.exact, 0)
            case .singlePrecision: (ladder.exact, wanted * answers)
            case .estimates(let rung):
                (
                    ladder.rungs[rung],
                    max(wanted, survivors * (isMasked ? passing : rows)) * answers
                )
            }
        var cost = try pass(rung, scoring, isMasked)
        let rowBytes = Double(ladder.exact.rowBytes)
        cost.bytes += again * rowBytes
        cost.seconds += limits.rows(again, rowBytes: rowBytes)
        return cost
    }

    private func pass(
        _ rung: Rung, _ scoring: SelectionPlan.Scoring, _ isMasked: Bool
    ) throws -> Cost {
        let kernels = try KernelSet.chosen()
        let filter = isMasked ? filter : nil
        var cost: Cost = (0, 0)
        guard query.measure != .`self` else { return cost }
        for column in rung.columns {
            let codec = try query.view.table.codec(column.layer, column.encoding.codec, kernels)
            let rowBytes = min(codec.rowBytes, column.slabs * SlabGeometry.slabBytes)
            // A chunk none of whose rows passes is not read, where that is worth a jump.
            let stride = min(rowBytes, SlabGeometry.slabBytes)
            var touched = filter?.share(ofPiecesOf: BlockLayout.targetChunkBytes / stride) ?? 1
            if touched >= ColumnScorer.mostSkippingShare { touched = 1 }
            let bytes = rows * Double(rowBytes) * touched
            cost.bytes += bytes
            let seconds = limits.seconds(
                column.encoding.codec, bytes: bytes, queries: queries,
                scoring == .singlePrecision ? .single : .defined, coldShare: coldShare)
            cost.seconds += touched < 1 ? seconds / ColumnScorer.mostSkippingShare : seconds
        }
        let groups = filter?.share(ofPiecesOf: query.view.table.document.rowGroup) ?? 1
        let pairs = rows * groups * Double(queries)
        cost.seconds += limits.pairs(pairs, areEstimated: scoring != .exact)
        return cost
    }
}

extension SelectionPlan {
    /// The same way to an answer on a device.
    fileprivate func moved(to device: any ScanDevice, _ seconds: Double) -> SelectionPlan {
        var plan = self
        plan.name += ", on \(device.name)"
        plan.isOnDevice = true
        plan.seconds = seconds
        return plan
    }
}
