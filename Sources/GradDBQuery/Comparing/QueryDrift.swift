// How the answer to a query changed from one checkpoint to another: the scores of all rows at both,
// some queries at a time, and from them ranks.

import GradDB

/// A row that is among the first of one answer at least.
public struct QueryDriftRow: Sendable {
    public enum Change: String, Sendable {
        /// Among the first at the later checkpoint only, at the first one only, at both.
        case entered, left, stayed
    }

    /// A row's place in an answer, from 1.
    public struct Place: Sendable {
        public var rank: Int
        public var score: Double
    }

    public var id: RowID
    public var change: Change
    /// Nil where the checkpoint lacks the row.
    public var from: Place?
    public var to: Place?
}

/// One query's answers.
public struct QueryDrift: Sendable {
    /// What a statement calls it.
    public var name: String
    /// Those among the first at the later checkpoint, in their order there; then those that left, in the
    /// order of the first checkpoint.
    public var rows: [QueryDriftRow]
    /// The correlation of the ranks of the rows that both have, equal scores sharing the mean of their
    /// ranks (Spearman); nil where there are none, or all scores are equal at one.
    public var rankCorrelation: Double?

    public func count(_ change: QueryDriftRow.Change) -> Int { rows.count { $0.change == change } }
}

extension Drift {
    /// Calls `body` for each query, in order.
    ///
    /// - Throws: as queries do; what `body` throws.
    public func queries(
        progress: @escaping Duplicates.Progress, _ body: (QueryDrift) throws -> Void
    ) throws {
        guard options.query != nil else { return }
        let queryOptions = options.scope.queryOptions
        let parts = QueryParts(
            query, rowCount: 0, limits: query.limits.resolved(of: 0), options: queryOptions
        ).parts
        var builder = try ScoreTableBuilder(query, filter: filter, options: queryOptions)
        for range in parts {
            progress("scoring", Double(range.lowerBound) / Double(max(1, query.queryCount)))
            let part = QueryPart(query, range, options: queryOptions)
            let tables = try [0, 1].map { try scores(part, checkpoint: $0, &builder) }
            for answer in 0..<range.count {
                try options.scope.cancellation.check()
                try body(try compare(tables[0], tables[1], answer: answer, of: range))
            }
        }
    }

    /// All rows' scores at a checkpoint, as they are, without its weight.
    private func scores(
        _ part: QueryPart, checkpoint: Int, _ builder: inout ScoreTableBuilder
    ) throws -> ScoreTable {
        let table = ScoreTable(
            answers: part.queryCount, rows: .all(Int(query.view.rowLimit)))
        try builder.scan(part, checkpoint) { scorer, scores in
            let positions = table.positions(of: scores.rows, scores.mask)
            scorer.forEachQuery(scores) { answer, values in
                table.add(values, at: positions, weight: nil, answer: answer)
            }
        }
        return table
    }

    private func compare(
        _ from: ScoreTable, _ to: ScoreTable, answer: Int, of range: Range<Int>
    ) throws -> QueryDrift {
        let before = first(from, answer)
        let after = first(to, answer)
        let known = Set(after.map(\.row))
        let rows = after.map(\.row) + before.map(\.row).filter { !known.contains($0) }
        let (wasFirst, isFirst) = (Set(before.map(\.row)), known)
        let ranksBefore = ranks(of: rows, from, answer)
        let ranksAfter = ranks(of: rows, to, answer)
        return QueryDrift(
            name: try query.answerName(range.lowerBound + answer),
            rows: try rows.map { row in
                QueryDriftRow(
                    id: try query.view.record(row: row).id,
                    change: !wasFirst.contains(row)
                        ? .entered : isFirst.contains(row) ? .stayed : .left,
                    from: ranksBefore[row], to: ranksAfter[row])
            },
            rankCorrelation: RankCorrelation(from, to, answer: answer).value)
    }

    private func first(_ table: ScoreTable, _ answer: Int) -> [ScoredRow] {
        var best = TopRows(.top, limit: options.top)
        table.forEach(answer: answer) { row, score in
            if best.mayTake(score) { best.insert(score, row) }
        }
        return best.ranked()
    }

    /// Ranks and scores of those of some rows that have a score.
    private func ranks(
        of rows: [UInt64], _ table: ScoreTable, _ answer: Int
    ) -> [UInt64: QueryDriftRow.Place] {
        let order = TopRows(.top, limit: 0)
        let wanted = rows.compactMap { row in
            table.score(of: row, answer: answer).map { ScoredRow(score: $0, row: row) }
        }.sorted(by: order.isBetter)
        // By position among the wanted: rows that come before it, and behind the one before it.
        var between = [Int](repeating: 0, count: wanted.count + 1)
        table.forEach(answer: answer) { row, score in
            let candidate = ScoredRow(score: score, row: row)
            var low = 0
            var high = wanted.count
            while low < high {
                let middle = (low + high) / 2
                if order.isBetter(wanted[middle], candidate) {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            between[low] += 1
        }
        var places: [UInt64: QueryDriftRow.Place] = [:]
        var rank = 0
        for (position, row) in wanted.enumerated() {
            // Itself among them.
            rank += between[position]
            places[row.row] = QueryDriftRow.Place(rank: rank, score: row.score)
        }
        return places
    }
}

/// The correlation of the ranks that rows have in two answers (Spearman, 1904).
struct RankCorrelation {
    let value: Double?

    init(_ first: ScoreTable, _ second: ScoreTable, answer: Int) {
        var a: [Double] = []
        var b: [Double] = []
        first.forEach(answer: answer) { row, score in
            guard let other = second.score(of: row, answer: answer) else { return }
            a.append(score)
            b.append(other)
        }
        value = Self.correlation(Self.ranks(a), Self.ranks(b))
    }

    /// Twice each one's rank, so that means of ranks are integers too.
    private static func ranks(_ scores: [Double]) -> [Int] {
        let order = scores.indices.sorted { scores[$0] < scores[$1] }
        var ranks = [Int](repeating: 0, count: scores.count)
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count, scores[order[end]] == scores[order[start]] { end += 1 }
            for position in start..<end { ranks[order[position]] = start + end + 1 }
            start = end
        }
        return ranks
    }

    private static func correlation(_ a: [Int], _ b: [Int]) -> Double? {
        let mean = Double(a.count + 1)
        var (ab, aa, bb) = (0.0, 0.0, 0.0)
        for (x, y) in zip(a, b) {
            let (x, y) = (Double(x) - mean, Double(y) - mean)
            ab += x * y
            aa += x * x
            bb += y * y
        }
        return aa > 0 && bb > 0 ? ab / (aa * bb).squareRoot() : nil
    }
}
