// From the scores of all rows, or groups, to those that are wanted of them, in order.

import GradDB

struct Ranking {
    private let rows: [ScoredRow]
    private let limits: BoundLimits

    init(_ rows: [ScoredRow], _ limits: BoundLimits) {
        self.rows = rows
        self.limits = limits
    }

    /// - Parameter areKnown: whether exact scores come with intervals, as BUDGET promises them.
    func ends(areKnown: Bool) -> [RankedEnd] {
        var ends: [RankedEnd]
        if limits.isAll {
            ends = [RankedEnd(allOf: rows)]
        } else {
            let (top, bottom) = limits.resolved(of: rows.count)
            var answer = Answer(top: min(top, rows.count), bottom: min(bottom, rows.count))
            for row in rows { answer.insert(row.score, row.row) }
            ends = answer.ends.map { RankedEnd($0) }
        }
        if areKnown { for index in ends.indices { ends[index].markAsKnown() } }
        return ends
    }
}
