// BUDGET: the same passes as CONFIDENCE, as far as the time allows. What has not been scored
// exactly by then is ranked by its estimate.

import GradDB

extension ProgressiveSelection {
    /// The best rows that are known at the deadline.
    ///
    /// - Parameter best: the rung that would be best without one; nil is none.
    func selectedInTime(from best: Int?) throws -> Selected {
        guard let rung = affordableRung(best), try estimateAll(rung) else {
            return try exactInTime()
        }
        // Candidates that look best come first: what the deadline cuts off matters least.
        var count = 64
        while !isLate, pools.joined().contains(where: { !$0.rows.isEmpty }) {
            try score(pools.map { $0.map { $0.best(max($0.limit, count)) } }, "score the best")
            prune()
            count *= 2
        }
        var selected = Selected(answers, passes: passes)
        var numbers = RowNumbers(input)
        selected.ends = try pools.indices.map { try ranked($0, under: rung, &numbers) }
        return selected
    }

    /// The rung to estimate by; nil to score exactly, as far as the time allows. A rung that needs
    /// longer than is left, at half of the memory's speed, is not begun if there is a cheaper one.
    private func affordableRung(_ best: Int?) -> Int? {
        guard !inflation.isEmpty, let deadline else { return nil }
        let left = max(0, (deadline - ContinuousClock.now).seconds)
        let bytes = 0.35 * left * MachineLimits(threads: input.options.threads).memory
        func fits(_ rung: Rung) -> Bool { Double(input.rowCount * rung.rowBytes) <= bytes }
        if best == nil, fits(ladder.exact) { return nil }
        let last = best ?? ladder.rungs.count - 1
        return ladder.rungs.indices.prefix(last + 1).last { fits(ladder.rungs[$0]) } ?? 0
    }

    /// Where estimates do not help, as many rows as the time allows are scored exactly.
    private func exactInTime() throws -> Selected {
        let selection = ExactSelection(input: input, exact: ladder.exact)
        let (answers, pass) = try selection.run(deadline: deadline)
        var selected = Selected(answers, passes: passes + [pass])
        selected.markAsKnown()
        for answer in selected.ends.indices {
            for end in selected.ends[answer].indices {
                selected.ends[answer][end].expectedRecall = pass.share(of: input)
            }
        }
        return selected
    }

    /// The answer's ends, exact scores and estimates together.
    private func ranked(
        _ answer: Int, under rung: Int, _ numbers: inout RowNumbers
    ) throws -> [RankedEnd] {
        try pools[answer].map { pool in
            let sign = pool.end == .top ? 1.0 : -1.0
            var known: [KnownRow] = scored.compactMap { key, row in
                key.answer != answer
                    ? nil
                    : KnownRow(
                        place: key, row: row.row, goodness: sign * row.score, deviation: 0)
            }
            known += pool.rows.map { candidate in
                KnownRow(
                    place: CandidateKey(answer, candidate), row: nil,
                    goodness: sign * candidate.estimate.score,
                    deviation: candidate.estimate.error * inflation[rung])
            }
            let chosen = try Self.best(pool.limit, of: &known, numbers: &numbers)
            let recall = Self.expectedRecall(of: chosen, among: known, wanted: pool.limit)
            // Rows are chosen because their estimates are high, some of them by chance: intervals
            // of the chosen hold together if each has its part of the whole table's probability
            // (Benjamini and Yekutieli, False discovery rate-adjusted confidence intervals, 2005).
            let share = Double(chosen.count) / max(1, coverage * Double(input.rowCount))
            let width = NormalDistribution.quantile(
                upperTail: (1 - Self.budgetProbability) / 2 * min(1, share))
            let rows = chosen.map { row in
                let score = sign * row.goodness
                let half = width * row.deviation
                return RankedRow(
                    row: row.row ?? 0, score: score, interval: score - half...score + half)
            }
            return RankedEnd(pool.end, rows, expectedRecall: recall * coverage)
        }
    }

    /// The best rows with their numbers; of equal ones, those with the smallest numbers.
    private static func best(
        _ limit: Int, of rows: inout [KnownRow], numbers: inout RowNumbers
    ) throws -> [KnownRow] {
        rows.sort { $0.goodness > $1.goodness }
        guard let worst = rows.prefix(limit).last?.goodness else { return [] }
        var chosen = Array(rows.prefix { $0.goodness >= worst })
        for index in chosen.indices where chosen[index].row == nil {
            chosen[index].row = try numbers.row(at: chosen[index].place)
        }
        chosen.sort { ($0.goodness, $1.row ?? 0) > ($1.goodness, $0.row ?? 0) }
        return Array(chosen.prefix(limit))
    }

    /// Looks row numbers up, each row group's once.
    private struct RowNumbers {
        let view: TableView
        let units: [ScanUnit]
        var maps: [Int32: [UInt64]] = [:]

        init(_ input: SelectionInput) {
            view = input.query.view
            units = view.units(of: input.checkpoint)
        }

        mutating func row(at place: CandidateKey) throws -> UInt64 {
            if let map = maps[place.unit] { return map[Int(place.index)] }
            let unit = units[Int(place.unit)]
            let map = try view.rowMap(unit.segment, group: unit.group)
            maps[place.unit] = map
            return map[Int(place.index)]
        }
    }

    /// What is known of a row at the deadline. More goodness is better, at either end.
    private struct KnownRow {
        var place: CandidateKey
        /// Its number, where it has been looked up.
        var row: UInt64?
        var goodness: Double
        /// Standard deviation of what the exact score may be; 0 where it is known.
        var deviation: Double

        func probability(above cut: Double) -> Double {
            deviation > 0
                ? NormalDistribution.upperTail((cut - goodness) / deviation)
                : goodness >= cut ? 1 : 0
        }
    }

    /// The share of the true answer that `chosen` is expected to hold: with a cut that as many rows
    /// as are wanted are expected to pass, the mean probability of the chosen rows to pass it.
    private static func expectedRecall(
        of chosen: [KnownRow], among rows: [KnownRow], wanted: Int
    ) -> Double {
        guard rows.count > wanted else { return 1 }
        let widest = rows.map { $0.deviation }.max() ?? 0
        guard widest > 0 else { return 1 }
        var low = (rows.map(\.goodness).min() ?? 0) - 10 * widest
        var high = (rows.map(\.goodness).max() ?? 0) + 10 * widest
        for _ in 0..<60 {
            let cut = (low + high) / 2
            let passing = rows.reduce(0) { $0 + $1.probability(above: cut) }
            if passing >= Double(wanted) { low = cut } else { high = cut }
        }
        let found = chosen.reduce(0) { $0 + $1.probability(above: low) }
        return min(1, found / Double(wanted))
    }
}

extension ScanPass {
    /// The share of rows that a pass which a deadline ended has considered.
    func share(of input: SelectionInput) -> Double {
        min(1, Double(counters.consideredRows) / Double(max(1, input.rowCount)))
    }
}
