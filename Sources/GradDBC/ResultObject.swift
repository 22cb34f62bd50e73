// What a `graddb_result` stands for: an answer turned into columns, or a plan.

import CGradDB
import GradDB
import GradDBQuery

final class ResultObject: Sendable {
    let rows: Int
    let columns: [ResultColumn]
    let isPlan: Bool
    let planJSON: CText
    let planText: CText

    init(_ answer: QueryEngine.Answer, of prepared: QueryEngine.Prepared) {
        let plan: PlanNode
        switch answer {
        case .plan(let node):
            (plan, isPlan, rows, columns) = (node, true, 0, [])
        case .rows(let result):
            (plan, isPlan, rows) = (result.plan, false, result.rows.count)
            columns = Self.columns(result, prepared.query)
        }
        planJSON = CText(
            JSONObject([("statement", .string(prepared.text)), ("plan", .object(plan.json))]).text)
        planText = CText(plan.rendered)
    }

    /// In the order of format-spec/cli-json.md: the fixed ones, then what SELECT adds to them.
    private static func columns(_ result: QueryResult, _ query: BoundQuery) -> [ResultColumn] {
        let rows = result.rows
        func column(
            _ name: String, _ type: FieldType, _ value: (ResultRow) -> FieldValue?
        ) -> ResultColumn {
            ResultColumn(name, type, rows: rows.count) { value(rows[$0]) }
        }
        let table = query.view.table
        var columns = [
            column("query", .string) { .string($0.query) },
            column("rank", .int) { .int(Int64($0.rank)) },
            column("end", .string) { .string($0.end.rawValue) },
            // Without a row in the table yet, nobody knows; there is none in the answer either.
            column("id", table.head.idType ?? .int) { $0.id.value },
            column("score", .float) { .float($0.score) },
        ]
        var seen: Set<String> = ["query", "rank", "end", "id", "score"]
        if result.hasEstimates {
            columns += [
                column("score_low", .float) { $0.interval.map { .float($0.lowerBound) } },
                column("score_high", .float) { $0.interval.map { .float($0.upperBound) } },
                column("expected_recall", .float) { $0.expectedRecall.map { .float($0) } },
            ]
        }
        for (index, output) in query.columns.enumerated() where seen.insert(output.name).inserted {
            let type: FieldType =
                switch output.source {
                case .id: table.head.idType ?? .int
                case .row, .rank: .int
                case .score: .float
                case .checkpoint, .query: .string
                case .field(let field): table.fields[field].type
                }
            columns.append(column(output.name, type) { $0.values[index] })
        }
        return columns
    }
}

extension RowID {
    fileprivate var value: FieldValue {
        switch self {
        case .string(let text): .string(text)
        case .int(let number): .int(number)
        }
    }
}
