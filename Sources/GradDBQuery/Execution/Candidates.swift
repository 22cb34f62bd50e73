// The rows that a first, inexact pass leaves: those that may still be among the best.

import GradDB

/// A row that may be among the best of one end of an answer.
package struct Candidate: Sendable {
    /// Which of the scan's units, and where in it.
    package var unit: Int32
    package var index: Int32
    package var estimate: Estimate
}

/// How an estimate's interval follows from its error.
package struct Interval: Sendable {
    /// Errors above an estimate that a row which belongs to the answer exceeds with small
    /// probability only (or never, for bounds).
    package var up: Double
    /// Errors below an estimate which no row at all falls short of, to small probability.
    package var down: Double

    package init(up: Double, down: Double) {
        self.up = up
        self.down = down
    }

    /// Bounds hold as they are. The slack covers rounding in double.
    package static let bound = Interval(up: 1 + 1e-6, down: 1 + 1e-6)
}

/// Candidates of one end of one answer, as they come.
package struct Candidates: Sendable {
    package let end: RankingEnd
    private var interval: Interval
    /// Rows that are wanted.
    var limit: Int { floors.limit }
    /// The best pessimistic scores so far, as many as rows are wanted: the worst of them is a floor
    /// that every row of the answer reaches.
    private var floors: TopRows
    package private(set) var rows: [Candidate] = []
    private var pruneAt = 4096

    package init(_ end: RankingEnd, limit: Int, interval: Interval) {
        self.end = end
        self.interval = interval
        floors = TopRows(.top, limit: limit)
    }

    var floor: Double { floors.worst ?? -.infinity }

    /// A score as something of which more is better.
    private func goodness(_ score: Double) -> Double { end == .top ? score : -score }

    private func optimistic(_ estimate: Estimate) -> Double {
        // An overflow on the way, to either side, says nothing about the score.
        guard estimate.score.isFinite else { return .infinity }
        return goodness(estimate.score) + interval.up * estimate.error
            + abs(estimate.score) * 1e-12
    }

    private func pessimistic(_ estimate: Estimate) -> Double {
        let worst = goodness(estimate.score) - interval.down * estimate.error
        return worst.isFinite ? worst - abs(estimate.score) * 1e-12 : -.infinity
    }

    package mutating func insert(_ estimate: Estimate, unit: Int, index: Int) {
        guard optimistic(estimate) >= floor else { return }
        let candidate = Candidate(
            unit: Int32(truncatingIfNeeded: unit), index: Int32(truncatingIfNeeded: index),
            estimate: estimate)
        rows.append(candidate)
        floors.insert(pessimistic(estimate), 0)
        if rows.count >= pruneAt {
            prune(below: floor)
            pruneAt = max(4096, 2 * rows.count)
        }
    }

    /// Takes out rows that cannot reach `goodness`.
    mutating func prune(below goodness: Double) {
        rows = rows.filter { optimistic($0.estimate) >= goodness }
    }

    /// Takes out rows that cannot be selected beside those that have been scored exactly.
    package mutating func prune(by scored: TopRows) {
        guard let worst = scored.worst else { return }
        prune(below: goodness(worst))
    }

    package mutating func merge(_ other: Candidates) {
        floors.merge(other.floors)
        rows += other.rows
        prune(below: floor)
    }

    /// The rows that look best, `count` of them.
    package func best(_ count: Int) -> [Candidate] {
        guard count < rows.count else { return rows }
        var best = TopRows(.top, limit: count)
        for (position, row) in rows.enumerated() {
            let score = goodness(row.estimate.score)
            best.insert(score.isFinite ? score : .infinity, UInt64(position))
        }
        return best.ranked().map { rows[Int($0.row)] }
    }

    mutating func removeAll(where isGone: (Candidate) -> Bool) { rows.removeAll(where: isGone) }

    /// Puts better estimates in the place of those there are.
    package mutating func update(interval: Interval, _ better: (Candidate) -> Estimate?) {
        self.interval = interval
        for position in rows.indices {
            if let estimate = better(rows[position]) { rows[position].estimate = estimate }
        }
        floors = TopRows(.top, limit: floors.limit)
        for row in rows { floors.insert(pessimistic(row.estimate), 0) }
    }

    /// How many rows would be left if errors shrank by `factor` and scores stayed.
    func count(shrinkingErrorsBy factor: Double, below worst: Double?) -> Int {
        guard let worst else { return rows.count }
        let floor = goodness(worst)
        return rows.count { row in
            optimistic(Estimate(score: row.estimate.score, error: row.estimate.error * factor))
                >= floor
        }
    }
}
