// Selects rows while they are scored, in the way that the planner has chosen.

import GradDB

struct RunningSelection {
    let part: QueryPart
    let checkpoint: CheckpointDocument
    let choice: PlanChoice
    let ladder: Ladder
    let options: QueryOptions
    /// Under BUDGET.
    let deadline: ContinuousClock.Instant?

    private var query: BoundQuery { part.query }
    /// The rows that are wanted of a number that has a score.
    typealias Limits = (top: Int, bottom: Int)

    /// Selects among the rows that pass `filter`.
    func selected(_ filter: RowSet?, rowCount: Int) throws -> Selected {
        try selected(filter, rowCount: rowCount, query.limits.resolved(of: rowCount))
    }

    private func selected(_ filter: RowSet?, rowCount: Int, _ limits: Limits) throws -> Selected {
        let input = try SelectionInput(
            part, checkpoint, filter: filter, rowCount: rowCount, limits: limits, options: options)
        if let deadline, query.reduction == .each || query.reduction == .mean {
            let progressive = ProgressiveSelection(
                input, ladder, try sample(input), deadline: deadline)
            return try progressive.selectedInTime(from: firstRung)
        }
        if let firstRung {
            let progressive = ProgressiveSelection(input, ladder, try sample(input))
            if let selected = try progressive.selected(from: firstRung) { return selected }
        }
        if choice.chosen.scoring == .singlePrecision,
            let (answers, passes) = try BoundedSelection(input: input, exact: ladder.exact).run()
        {
            return Selected(answers, passes: passes)
        }
        let (answers, pass) = try ExactSelection(input: input, exact: ladder.exact).run()
        var selected = Selected(answers, passes: [pass])
        if query.budget != nil { selected.markAsKnown() }
        return selected
    }

    private var firstRung: Int? {
        if case .estimates(let rung) = choice.chosen.scoring { return rung }
        return nil
    }

    /// How far estimates are off: what the planner found is of the first queries only.
    private func sample(_ input: SelectionInput) throws -> ScoreSample? {
        guard let sample = choice.scoreSample, part.range.lowerBound > 0 else {
            return choice.scoreSample
        }
        return try ScoreSample(input, ladder, pairs: sample.wishedPairs)
    }

    // MARK: the condition last

    /// So many times more rows are selected when those before did not suffice.
    private static let growth = 4.0

    /// Selects more rows than are wanted, and asks the condition of the best until as many pass.
    ///
    /// - Parameters:
    ///   - live: rows that the snapshot has; nil is all.
    ///   - rowCount: of those that the checkpoint has.
    /// - Returns: nil where the condition keeps so few of the best rows that it had better be asked
    ///   first.
    func selected(
        asking condition: BoundPredicate, _ live: RowSet?, rowCount: Int
    ) throws -> Selected? {
        guard var overshoot = choice.chosen.overshoot else { return nil }
        let wanted = query.limits.resolved(of: rowCount)
        var filter = RecordFilter(condition, query.view, options.cancellation)
        var passes: [ScanPass] = []
        while true {
            let limits = Self.limits(wanted, overshoot)
            guard 4 * (limits.top + limits.bottom) <= rowCount else { return nil }
            var found = try selected(live, rowCount: rowCount, limits)
            passes += found.passes
            var isEnough = true
            for answer in found.ends.indices {
                for end in found.ends[answer].indices {
                    try options.cancellation.check()
                    let limit = found.ends[answer][end].end == .top ? wanted.top : wanted.bottom
                    let rows = found.ends[answer][end].rows
                    let kept = try Self.first(limit, of: rows, &filter)
                    isEnough = isEnough && kept.count == limit
                    found.ends[answer][end].rows = kept
                }
            }
            if isEnough {
                found.passes = passes
                return found
            }
            overshoot *= Self.growth
        }
    }

    /// Limits that a planner's overshoot makes of those that the statement has.
    static func limits(_ wanted: Limits, _ overshoot: Double) -> Limits {
        func scaled(_ count: Int) -> Int { Int((Double(count) * overshoot).rounded(.up)) }
        return (scaled(wanted.top), scaled(wanted.bottom))
    }

    /// The first rows that pass.
    private static func first(
        _ limit: Int, of rows: [RankedRow], _ filter: inout RecordFilter
    ) throws -> [RankedRow] {
        var kept: [RankedRow] = []
        var asked = 0
        while kept.count < limit, asked < rows.count {
            let slice = rows[asked..<min(rows.count, asked + max(8, limit - kept.count))]
            asked = slice.endIndex
            let passes = try filter.passes(slice.map(\.row))
            kept += zip(slice, passes).lazy.filter(\.1).map(\.0)
        }
        return Array(kept.prefix(limit))
    }
}
