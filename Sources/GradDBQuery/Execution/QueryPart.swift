// Many queries in bounded memory: they are scored a part at a time. Queries that are answered one by
// one are also answered a part at a time; the parts of a MEAN, SUM or MAX run into one value a row.

import GradDB
import Synchronization

/// Some of a statement's queries, scored together.
final class QueryPart: Sendable {
    let query: BoundQuery
    /// Which of them.
    let range: Range<Int>
    private let options: QueryOptions
    private let kept = Mutex<Kept>(Kept())

    /// Encoded queries by tier, of the checkpoint that was asked for last.
    private struct Kept {
        var variant = 0
        var tiers: [Int: [[EncodedQuery]]] = [:]
    }

    init(_ query: BoundQuery, _ range: Range<Int>, options: QueryOptions) {
        self.query = query
        self.range = range
        self.options = options
    }

    var queryCount: Int { range.count }
    /// Answers that come out of this part alone.
    var answerCount: Int { query.isAnsweredOneByOne ? range.count : 1 }

    /// The part's queries by query and layer, encoded for a tier.
    ///
    /// - Parameter checkpoint: position among the statement's checkpoints.
    func encoded(checkpoint: Int, tier: Int) throws -> [[EncodedQuery]] {
        let variant = query.queries.variant(of: checkpoint)
        return try kept.withLock { kept in
            if kept.variant != variant { kept = Kept(variant: variant) }
            if let known = kept.tiers[tier] { return known }
            let encoded = try query.queries.encoded(
                range, checkpoint: checkpoint, tier: tier, options)
            kept.tiers[tier] = encoded
            return encoded
        }
    }
}

/// How a statement's queries are cut into parts, and what is done with their scores.
package struct QueryParts: Sendable {
    /// How rows are selected.
    package enum Route: Sendable {
        /// While they are scored: the best so far are all that is kept.
        case running
        /// From a table of all scores: several checkpoints or parts add up, groups are made, or
        /// nearly all rows are wanted.
        case table
    }

    package let route: Route
    let parts: [Range<Int>]

    /// What the encoded queries of a part, its running sums and its scores may each take, about.
    private static let queryBytes = 256 << 20
    private static let sumBytes = 128 << 20
    private static let tableBytes = 256 << 20
    /// More queries than this gain nothing from one pass.
    private static let mostQueries = 512

    /// - Parameters:
    ///   - rowCount: rows that have a score, or more.
    ///   - limits: how many of them are wanted.
    init(
        _ query: BoundQuery, rowCount: Int, limits: (top: Int, bottom: Int), options: QueryOptions
    ) {
        let groupRows =
            query.checkpoints
            .flatMap { query.view.segments(of: $0.document) }
            .map { min($0.rows, $0.rowsPerGroup) }.max() ?? 0
        // Sums, dot products and errors of the row groups under way.
        let sums = 32 * max(1, groupRows) * max(1, options.threads)
        let vectors = zip(query.layers, query.tiers.first ?? []).reduce(1) { bytes, layer in
            // Single floats, also side by side; or a byte an element, in three forms at most.
            bytes + layer.0.dims * (layer.1.codec < .int8 ? 8 : 3)
        }
        let wanted = limits.top + limits.bottom
        let isRunning =
            query.measure != .`self` && !query.isWeighted && query.grouping == nil
            && !query.limits.isAll && (query.budget != nil || 4 * wanted <= rowCount)
        var size = min(Self.queryBytes / vectors, Self.sumBytes / sums)
        if query.reduction == .each { size = min(size, Self.mostQueries) }
        if let most = options.queriesPerPart { size = min(size, most) }
        if isRunning {
            // Each thread keeps as many rows as are wanted.
            let selected = 16 * (wanted + 1) * (max(1, options.threads) + 1)
            if query.reduction == .each { size = min(size, Self.tableBytes / selected) }
        } else if query.reduction == .each || (query.reduction == .max && query.isWeighted) {
            var perQuery = 9 * max(1, Int(query.view.rowLimit))
            // Under PER LAYER the scores of each layer, too.
            if query.isPerLayer { perQuery *= 1 + query.layers.count }
            size = min(size, Self.tableBytes / perQuery)
        }
        size = max(1, size)
        let count = query.queryCount
        route = isRunning && (query.reduction == .each || count <= size) ? .running : .table
        parts = stride(from: 0, to: max(1, count), by: size).map { first in
            first..<min(count, first + size)
        }
    }
}
