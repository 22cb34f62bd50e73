// What a statement gives back.

import GradDB

/// A row of an answer.
public struct ResultRow: Sendable {
    /// What was asked: a file, `$name` or `ROW 'id'`, with an index where there are several.
    public var query: String
    /// From 1, within query and end.
    public var rank: Int
    public var end: RankingEnd
    public var id: RowID
    public var score: Double
    /// Under BUDGET: where the exact score lies, with a probability of 0.999.
    public var interval: ClosedRange<Double>?
    /// Under BUDGET: the share of the true answer that is expected among the rows of this query
    /// and end.
    public var expectedRecall: Double?
    /// By position in the result's `columns`; nil is NULL.
    public var values: [FieldValue?]
}

/// The rows that a statement selected, best first within each query and end.
public struct QueryResult: Sendable {
    /// Names of the columns that SELECT asked for.
    public var columns: [String]
    public var rows: [ResultRow]
    /// Whether scores may be estimates (BUDGET), so that rows have intervals.
    public var hasEstimates: Bool
    /// What ran, with what happened at each step.
    public var plan: PlanNode
}
