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
    /// Another device than the processor, which scans may run on.
    package var device: DeviceUse?

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
    package var preconditioner: BoundPreconditioner?
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

    /// What is read of the chosen layers to score rows as scores are defined.
    package func definingColumns() throws -> [ScanColumn] {
        let kernels = try KernelSet.chosen()
        return try zip(layers, tiers[0]).map { layer, encoding in
            let codec = try view.table.codec(layer, encoding.codec, kernels)
            return ScanColumn(layer, allOf: encoding, codec)
        }
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
