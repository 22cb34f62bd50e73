// The scores of ALL as a matrix: a line for each query, a column for each row (or group) that has a
// score, in the order of their numbers. No more than a part of it is in memory.

import GradDB

/// What is known of a matrix before its first score.
public struct MatrixShape: Sendable {
    /// Under PER LAYER: how many matrices there are, in the table's order of layers.
    public var layers: Int?
    /// Lines: one for each query, or one for all of them.
    public var answers: Int
    /// Columns: rows that have a score.
    public var rows: Int
}

/// Takes a matrix of scores. What it throws ends the statement.
public protocol MatrixSink: AnyObject {
    /// Called once, before anything else.
    func begin(_ header: ResultHeader, _ shape: MatrixShape) throws
    /// Called for each row, in the order of the columns; query, rank, score and layer mean nothing.
    func describe(_ row: ResultRow) throws
    /// Called for each line of each layer's matrix, in no order.
    func append(_ scores: UnsafeBufferPointer<Double>, answer: Int, layer: Int) throws
}

/// Makes the matrix, part by part of the queries.
struct ScoreMatrix {
    private let query: BoundQuery
    private let options: QueryOptions
    private let filter: RowSet?
    private let groupIndex: GroupIndex?

    init(_ query: BoundQuery, options: QueryOptions) throws {
        self.query = query
        var options = options
        // No plan is made that could tell whether it pays.
        if !(options.device?.isRequired ?? false) { options.device = nil }
        self.options = options
        filter = try query.rows(options)
        groupIndex = try query.grouping.map {
            try GroupIndex(query.view, by: $0.column, options.cancellation)
        }
    }

    func write(to sink: any MatrixSink) throws {
        let parts = QueryParts(
            query, rowCount: 0, limits: query.limits.resolved(of: 0), options: options
        ).parts
        let together = query.reduction == .each ? parts.map { [$0] } : [parts]
        var isBegun = false
        for parts in together {
            let layers = query.isPerLayer ? query.layers.indices.map { Int?($0) } : [nil]
            for layer in layers {
                let asked = layer.map { query.restricted(toLayer: $0) } ?? query
                var builder = try ScoreTableBuilder(asked, filter: filter, options: options)
                let table = try builder.table(parts, rows: .all(Int(query.view.rowLimit)))
                // Which rows have a score depends on no query and no layer.
                let groups = groupIndex.map { ScoredGroups($0, in: table) }
                if !isBegun { try begin(table, groups, sink) }
                isBegun = true
                for answer in 0..<table.answers {
                    try options.cancellation.check()
                    let line = try scores(table, groups, answer: answer).map(\.score)
                    try line.withUnsafeBufferPointer {
                        try sink.append(
                            $0, answer: (parts.first?.lowerBound ?? 0) + answer, layer: layer ?? 0)
                    }
                }
            }
        }
    }

    /// What a line has, in the order of the columns.
    private func scores(
        _ table: ScoreTable, _ groups: ScoredGroups?, answer: Int
    ) throws -> [ScoredRow] {
        if let groups, let reduction = query.grouping?.reduction {
            return try groups.scores(table, answer: answer, reduction).sorted { $0.row < $1.row }
        }
        var scores: [ScoredRow] = []
        scores.reserveCapacity(table.presentCount)
        table.forEach(answer: answer) { scores.append(ScoredRow(score: $1, row: $0)) }
        return scores
    }

    private func begin(
        _ table: ScoreTable, _ groups: ScoredGroups?, _ sink: any MatrixSink
    ) throws {
        let columns = table.answers == 0 ? [] : try scores(table, groups, answer: 0)
        try sink.begin(
            ResultHeader(query),
            MatrixShape(
                layers: query.isPerLayer ? query.layers.count : nil, answers: query.answerCount,
                rows: columns.count))
        let hydrator = Hydrator(query)
        let end = RankedEnd(allOf: [])
        for column in columns {
            try options.cancellation.check()
            try sink.describe(
                try hydrator.hydrated(
                    RankedRow(row: column.row, score: column.score), rank: 0, in: end,
                    groups: groups, query: query.queries.sourceName))
        }
    }
}
