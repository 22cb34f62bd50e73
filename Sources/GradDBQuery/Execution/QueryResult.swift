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
    /// By position in the result's `columns`; nil is NULL.
    public var values: [FieldValue?]
}

/// The rows that a statement selected, best first within each query and end.
public struct QueryResult: Sendable {
    /// Names of the columns that SELECT asked for.
    public var columns: [String]
    public var rows: [ResultRow]
    /// What ran, with what happened at each step.
    public var plan: PlanNode
}
