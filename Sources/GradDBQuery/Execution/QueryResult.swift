// What a statement gives back: what is known before the first row, the rows, and who takes them.

import GradDB

/// A row of an answer, or under GROUP BY a group.
public struct ResultRow: Sendable {
    /// What was asked: a file, `$name` or `ROW 'id'`, with an index where there are several.
    public var query: String
    /// From 1, within query and end.
    public var rank: Int
    public var end: RankingEnd
    /// The row's id, a string or an integer; of a group its value, which may be nil for NULL.
    public var id: FieldValue?
    public var score: Double
    /// Under PER LAYER: the layer that the score is over.
    public var layer: String?
    /// Under BUDGET: where the exact score lies, with a probability of 0.999.
    public var interval: ClosedRange<Double>?
    /// Under BUDGET: the share of the true answer that is expected among the rows of this query
    /// and end.
    public var expectedRecall: Double?
    /// By position in the header's `columns`; nil is NULL.
    public var values: [FieldValue?]
    /// The row's number; of a group that of its first row.
    public var row: UInt64
}

/// What is known of a result before its first row.
public struct ResultHeader: Sendable {
    /// The columns that SELECT asked for.
    public var columns: [Field]
    /// Positions of columns that have another value for each query, rank or layer.
    public var varyingColumns: Set<Int>
    /// Positions of columns that are the score.
    public var scoreColumns: Set<Int>
    /// What ids are; of groups what their values are.
    public var idType: FieldType
    /// How many answers there are: one for each query, or one for all of them.
    public var answers: Int
    /// Which ends of the ranking are asked for, in order.
    public var ends: [RankingEnd]
    /// Under PER LAYER: the names of the layers, each of which every row comes with.
    public var layers: [String]?
    /// Whether scores may be estimates (BUDGET), so that rows have intervals.
    public var hasEstimates: Bool
    /// Whether rows are groups.
    public var isGrouped: Bool

    init(_ query: BoundQuery) {
        columns = query.columns.map { Field(name: $0.name, type: $0.type) }
        let sources = query.columns.map(\.source)
        varyingColumns = Set(
            sources.indices.filter { [.rank, .query, .layer].contains(sources[$0]) })
        scoreColumns = Set(sources.indices.filter { sources[$0] == .score })
        // Without a row in the table yet, nobody knows; there is none in the answer either.
        idType = query.grouping?.column.type ?? query.view.table.head.idType ?? .int
        answers = query.answerCount
        ends = []
        if query.limits.isAll || query.limits.top != nil { ends.append(.top) }
        if query.limits.bottom != nil { ends.append(.bottom) }
        layers = query.isPerLayer ? query.layers.map(\.name) : nil
        hasEstimates = query.budget != nil
        isGrouped = query.grouping != nil
    }
}

/// Takes a result as it becomes known. What it throws ends the statement.
public protocol ResultSink: AnyObject {
    /// Called once, before the first row.
    func begin(_ header: ResultHeader) throws
    /// Called for each row: answer by answer, the top before the bottom, each in rank order.
    func append(_ row: ResultRow) throws
}

/// The rows that a statement selected, best first within each query and end.
public struct QueryResult: Sendable {
    public var header: ResultHeader
    public var rows: [ResultRow]
    /// What ran, with what happened at each step.
    public var plan: QueryPlan
}

/// Keeps all rows.
final class CollectingSink: ResultSink {
    private(set) var header: ResultHeader?
    private(set) var rows: [ResultRow] = []

    func begin(_ header: ResultHeader) { self.header = header }

    func append(_ row: ResultRow) { rows.append(row) }
}

/// Lets all rows go: what EXPLAIN ANALYZE wants of them is that they were made.
final class DiscardingSink: ResultSink {
    func begin(_ header: ResultHeader) {}

    func append(_ row: ResultRow) {}
}
