// Keeps the best rows of a stream of scores, in memory that depends on how many are wanted.

import GradDB

/// Which end of the ranking.
public enum RankingEnd: String, Sendable {
    case top, bottom
}

/// A row and its score.
package struct ScoredRow: Equatable, Sendable {
    package var score: Double
    package var row: UInt64
}

/// The `limit` best rows so far: highest scores for the top, lowest for the bottom; of equal
/// scores the one with the smaller row number. The order is total, so the result does not depend
/// on the order of insertion.
package struct TopRows: Sendable {
    package let end: RankingEnd
    package let limit: Int
    /// A binary heap whose root is the worst row kept.
    private var heap: [ScoredRow] = []

    package init(_ end: RankingEnd, limit: Int) {
        self.end = end
        self.limit = limit
    }

    package mutating func insert(_ score: Double, _ row: UInt64) {
        let candidate = ScoredRow(score: score, row: row)
        if heap.count < limit {
            heap.append(candidate)
            siftUp()
        } else if let worst = heap.first, isBetter(candidate, worst) {
            heap[0] = candidate
            siftDown()
        }
    }

    /// Inserts the rows of a group that count. Nearly all of them fail the first comparison.
    mutating func insert(_ scores: UnsafeBufferPointer<Double>, _ group: GroupScores) {
        guard limit > 0 else { return }
        for index in scores.indices where mayTake(scores[index]) && group.mask?[index] ?? true {
            insert(scores[index], group.rows[index])
        }
    }

    /// The score to beat; nil while there is room.
    package var worst: Double? { heap.count < limit ? nil : heap.first?.score }

    /// Whether a row of this score may be taken, whatever its number.
    package func mayTake(_ score: Double) -> Bool {
        guard limit > 0 else { return false }
        guard let worst else { return true }
        return end == .top ? score >= worst : score <= worst
    }

    package mutating func merge(_ other: TopRows) {
        for row in other.heap { insert(row.score, row.row) }
    }

    /// Best first.
    package func ranked() -> [ScoredRow] { heap.sorted(by: isBetter) }

    /// Whether `a` comes before `b` in the ranking.
    func isBetter(_ a: ScoredRow, _ b: ScoredRow) -> Bool {
        if a.score != b.score { return (a.score > b.score) == (end == .top) }
        return a.row < b.row
    }

    private mutating func siftUp() {
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isBetter(heap[parent], heap[child]) else { return }
            heap.swapAt(parent, child)
            child = parent
        }
    }

    private mutating func siftDown() {
        var parent = 0
        while true {
            var worst = parent
            for child in [2 * parent + 1, 2 * parent + 2]
            where child < heap.count && isBetter(heap[worst], heap[child]) {
                worst = child
            }
            guard worst != parent else { return }
            heap.swapAt(worst, parent)
            parent = worst
        }
    }
}
