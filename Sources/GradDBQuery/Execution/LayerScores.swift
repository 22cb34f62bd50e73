// PER LAYER: what the rows that a statement has chosen score over each layer alone.

import GradDB

/// Rows, or first rows of groups, that one answer has.
struct ChosenRows: Sendable {
    /// Within the answers that are made together.
    var answer: Int
    var rows: [UInt64]
}

struct LayerScores {
    let query: BoundQuery
    let filter: RowSet?
    let options: QueryOptions
    /// What rows are grouped by, under GROUP BY.
    let groups: ScoredGroups?
    private(set) var passes: [ScanPass] = []

    init(_ query: BoundQuery, filter: RowSet?, groups: ScoredGroups?, options: QueryOptions) {
        self.query = query
        self.filter = filter
        self.groups = groups
        self.options = options
    }

    /// Rows that are looked at together; their scores over one layer are in memory.
    static func batchSize(answers: Int, layers: Int) -> Int {
        max(1 << 12, (32 << 20) / max(1, answers + layers))
    }

    /// - Parameter parts: the queries whose answers the rows are of.
    /// - Returns: by layer, and as `chosen`.
    mutating func scores(
        of chosen: [ChosenRows], _ parts: [Range<Int>]
    ) throws -> [[[Double]]] {
        try query.layers.indices.map { layer in
            try scores(of: chosen, parts, query.restricted(toLayer: layer))
        }
    }

    private mutating func scores(
        of chosen: [ChosenRows], _ parts: [Range<Int>], _ query: BoundQuery
    ) throws -> [[Double]] {
        guard let groups, let reduction = query.grouping?.reduction else {
            let rows = Set(chosen.lazy.flatMap(\.rows)).sorted()
            var wanted = RowSet(rowCount: query.view.rowLimit)
            for row in rows { wanted.insert(row) }
            let table = try table(parts, query, wanted, .some(rows))
            return chosen.map { chosen in
                chosen.rows.map { table.score(of: $0, answer: chosen.answer) ?? 0 }
            }
        }
        let table = try table(parts, query, filter, .all(Int(query.view.rowLimit)))
        return try chosen.map { chosen in
            let scores = try groups.scores(table, answer: chosen.answer, reduction)
            let byRow = Dictionary(uniqueKeysWithValues: scores.lazy.map { ($0.row, $0.score) })
            return chosen.rows.map { byRow[$0] ?? 0 }
        }
    }

    private mutating func table(
        _ parts: [Range<Int>], _ query: BoundQuery, _ filter: RowSet?, _ rows: TableRows
    ) throws -> ScoreTable {
        var builder = try ScoreTableBuilder(query, filter: filter, options: options)
        let table = try builder.table(parts, rows: rows)
        passes += builder.passes
        return table
    }
}
