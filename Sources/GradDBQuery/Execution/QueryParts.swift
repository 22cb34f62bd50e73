// Many queries at once, in bounded memory: each gets an answer of its own, so they can be answered
// a part at a time. A part is large enough that its passes are bound by multiplications, not bytes.

import GradDB

struct QueryParts {
    /// The statement with some of its queries each, in order.
    let parts: [BoundQuery]

    /// Running sums and packed queries of a part may take about this much.
    private static let partBytes = 128 << 20
    /// More queries than this gain nothing from one pass.
    private static let mostQueries = 512
    /// What a mean over all queries at once may take.
    private static let maxBytes = 4 << 30

    init(_ query: BoundQuery, threads: Int) throws {
        let groupRows =
            query.checkpoints
            .flatMap { query.view.segments(of: $0.document) }
            .map { min($0.rows, $0.rowsPerGroup) }.max() ?? 0
        // Sums, dot products and errors of the row groups under way; across checkpoints, a sum for
        // every row of the table.
        let bytes =
            32 * max(1, groupRows) * threads + (query.isWeighted ? 8 * Int(query.view.rowCount) : 0)
        guard query.reduction == .each else {
            let needed = Double(bytes) * Double(query.queryCount)
            guard needed <= Double(Self.maxBytes) else {
                throw GradDBError(
                    .usage,
                    "a mean over \(query.queryCount) queries over this table needs "
                        + "\(Int(needed / 1e9)) GB for its running sums, more than "
                        + "\(Self.maxBytes >> 30) GiB; ask fewer queries in one statement")
            }
            parts = [query]
            return
        }
        let size = max(1, min(Self.mostQueries, Self.partBytes / bytes))
        parts = stride(from: 0, to: max(1, query.queryCount), by: size).map { first in
            query.part(first..<min(query.queryCount, first + size))
        }
    }
}

extension BoundQuery {
    /// The same question of some of its queries.
    fileprivate func part(_ range: Range<Int>) -> BoundQuery {
        guard range.count < queryCount else { return self }
        var part = self
        part.queryNames = Array(queryNames[range])
        for index in part.checkpoints.indices {
            part.checkpoints[index].queries = checkpoints[index].queries.map { Array($0[range]) }
        }
        return part
    }
}
