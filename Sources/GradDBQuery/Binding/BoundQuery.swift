// A statement whose every name has been resolved against one snapshot of a database: nothing here
// can be unknown any more. What the planner plans and the executor runs.

import GradDB

/// What a caller gives beside the statement.
public struct QueryOptions: Sendable {
    /// Threads that scan.
    public var threads = 2
    /// Files for the statement's `$name` parameters.
    public var parameters: [String: String] = [:]
    /// Vectors in memory for the statement's `$name` parameters, before files of the same name.
    package var vectors: [String: TensorBatch] = [:]
    /// The table that is meant when FROM is left out.
    public var defaultTable: String?
    public var cancellation = Cancellation()

    public init() {}
}

/// A column of the answer beside query, rank, end, id and score.
package struct OutputColumn: Equatable, Sendable {
    package enum Source: Equatable, Sendable {
        case id, row, score, rank, checkpoint, query
        /// Position in the table's fields.
        case field(Int)
    }

    package var name: String
    package var source: Source
}

/// A checkpoint that counts, and its weight in the sum.
package struct BoundCheckpoint: Sendable {
    package var document: CheckpointDocument
    package var weight: Double
    /// By tier, query vector and layer, encoded for the tier's codec. Queries that are rows of the
    /// table differ from checkpoint to checkpoint; queries from files do not.
    package var queries: [[[EncodedQuery]]]

    /// The queries as scores are defined: for the finest encodings.
    package var exactQueries: [[EncodedQuery]] { queries[0] }
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
    /// Names of the query vectors, as the answer shows them.
    package var queryNames: [String]
    /// What MEAN's one answer is called.
    package var sourceName: String
    package var reduction: QueryReduction
    package var predicate: BoundPredicate?
    package var top: Int
    package var bottom: Int

    /// Rows of an answer when the statement says neither TOP nor BOTTOM.
    package static let defaultTop = 10

    package var queryCount: Int { queryNames.count }
    package var accuracy: Accuracy { statement.accuracy?.value ?? .exact }
    /// Seconds, under BUDGET.
    package var budget: Double? {
        if case .budget(let seconds) = accuracy { return seconds }
        return nil
    }
    /// Rows wanted of each answer, at both ends together.
    package var wanted: Int { top + bottom }

    /// The answers' names: one per query, or one for all of them.
    package var answerNames: [String] {
        reduction == .mean ? [sourceName] : queryNames
    }
}
