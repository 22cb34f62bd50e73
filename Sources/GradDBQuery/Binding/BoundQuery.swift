// A statement whose every name has been resolved against one snapshot of a database: nothing here
// can be unknown any more. What the planner plans and the executor runs.

import GradDB

/// What a caller gives beside the statement.
public struct QueryOptions: Sendable {
    /// Threads that scan.
    public var threads = 2
    /// What the statement's `$name` parameters are: a file where it takes query vectors, a value in a
    /// condition.
    public var parameters: [String: String] = [:]
    /// Vectors in memory for the statement's `$name` parameters, before files of the same name.
    package var vectors: [String: TensorBatch] = [:]
    /// The table that is meant when FROM is left out.
    public var defaultTable: String?
    public var cancellation = Cancellation()
    /// The plan to take, by its name in EXPLAIN; nil is the cheapest.
    package var plan: String?
    /// Most queries that are scored together; nil is as many as memory and speed suggest.
    package var queriesPerPart: Int?

    public init() {}
}

/// A checkpoint that counts, and its weight in the sum.
package struct BoundCheckpoint: Sendable {
    package var document: CheckpointDocument
    package var weight: Double
}

/// GROUP BY: what rows are put together by, and what becomes of their scores.
package struct BoundGrouping: Sendable {
    package var column: Field
    package var reduction: GroupReduction
}

/// TOP, BOTTOM and ALL as the statement has them.
package struct BoundLimits: Sendable {
    /// Nil is none of them.
    package var top: RowLimit?
    package var bottom: RowLimit?
    /// Every row that has a score, the highest first.
    package var isAll: Bool

    /// Rows of an answer when the statement says nothing of them.
    package static let defaultTop = 10

    package init(_ statement: Statement) {
        isAll = statement.isAll
        bottom = statement.bottom?.value
        let isSaid = statement.top != nil || statement.bottom != nil || statement.isAll
        top = isSaid ? statement.top?.value : .rows(Self.defaultTop)
    }

    /// Whether a share of the rows is asked for, so that they must be counted.
    package var dependOnCount: Bool {
        [top, bottom].contains {
            if case .percent = $0 { true } else { false }
        }
    }

    /// How many are wanted of `count` rows or groups that have a score.
    package func resolved(of count: Int) -> (top: Int, bottom: Int) {
        isAll ? (count, 0) : (Self.rows(top, of: count), Self.rows(bottom, of: count))
    }

    private static func rows(_ limit: RowLimit?, of count: Int) -> Int {
        switch limit {
        case nil: return 0
        case .rows(let rows)?: return rows
        case .percent(let percent)?:
            let share = percent * Double(count) / 100
            // 0.07 % of 10,000 is 7, though no double is 0.07.
            return min(count, Int((share * (1 - 1e-12)).rounded(.up)))
        }
    }
}

package struct BoundQuery: Sendable {
    package var statement: Statement
    package var view: TableView
    package var columns: [OutputColumn]
    package var measure: Measure
    /// In the table's order.
    package var layers: [Layer]
    /// Which encoding of each layer to read. The first tier has the finest, which define the
    /// scores; the others, for estimates, coarser and coarser ones.
    package var tiers: [[LayerEncoding]]
    package var checkpoints: [BoundCheckpoint]
    /// Whether scores are summed by weight (ACROSS), or are those of the one checkpoint.
    package var isWeighted: Bool
    package var queries: QuerySet
    package var reduction: QueryReduction
    package var predicate: BoundPredicate?
    package var grouping: BoundGrouping?
    package var limits: BoundLimits

    package var queryCount: Int { queries.count }
    package var isPerLayer: Bool { statement.isPerLayer }
    package var accuracy: Accuracy { statement.accuracy?.value ?? .exact }
    /// Seconds, under BUDGET.
    package var budget: Double? {
        if case .budget(let seconds) = accuracy { return seconds }
        return nil
    }

    /// Whether each query has an answer of its own.
    package var isAnsweredOneByOne: Bool { reduction == .each && measure != .`self` }
    /// One for each query, or one for all of them.
    package var answerCount: Int { isAnsweredOneByOne ? queryCount : 1 }

    package func answerName(_ answer: Int) throws -> String {
        isAnsweredOneByOne ? try queries.name(of: answer) : queries.sourceName
    }

    /// The same question over one of the chosen layers.
    package func restricted(toLayer layer: Int) -> BoundQuery {
        var restricted = self
        restricted.layers = [layers[layer]]
        restricted.tiers = tiers.map { [$0[layer]] }
        restricted.queries = queries.restricted(toLayer: layer)
        return restricted
    }
}
