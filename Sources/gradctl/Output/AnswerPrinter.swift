// Answers in the formats that format-spec/cli-json.md describes.

import ArgumentParser
import GradDB
import GradDBQuery

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, jsonl, csv
}

struct AnswerPrinter {
    let format: OutputFormat
    private let useColor: Bool

    init(format: OutputFormat, _ globals: GlobalOptions) {
        self.format = format
        let noColor = ProcessInfo.processInfo.environment["NO_COLOR"] ?? ""
        useColor = Console.isOutputTerminal && !globals.noColor && noColor.isEmpty
    }

    func print(_ answer: QueryEngine.Answer, statement: String) throws {
        switch answer {
        case .plan(let plan): try print(plan, statement: statement)
        case .rows(let result):
            switch format {
            case .table: try printTable(result)
            case .csv: try printCSV(result)
            case .jsonl: for row in result.rows { try Console.print(json(row, result).text) }
            case .json:
                let rows = result.rows.map { JSONValue.object(json($0, result)) }
                try Console.print(JSONValue.array(rows).text)
            }
        }
    }

    // MARK: plans

    private func print(_ plan: PlanNode, statement: String) throws {
        guard format == .table || format == .csv else {
            try Console.print(
                JSONObject([("statement", .string(statement)), ("plan", .object(plan.json))]).text)
            return
        }
        try Console.print(Console.printable(plan.rendered, keepingLines: true))
    }

    // MARK: rows

    private static let fixedColumns = ["query", "rank", "end", "id", "score"]

    private static let estimateColumns = ["score_low", "score_high", "expected_recall"]

    /// The values of `estimateColumns`.
    private func estimates(_ row: ResultRow) -> [Double?] {
        [row.interval?.lowerBound, row.interval?.upperBound, row.expectedRecall]
    }

    /// SELECTed columns that are not among the fixed ones anyway.
    private func extraColumns(_ result: QueryResult) -> [(index: Int, name: String)] {
        var seen = Set(Self.fixedColumns)
        return result.columns.enumerated().compactMap { index, name in
            seen.insert(name).inserted ? (index, name) : nil
        }
    }

    private func json(_ row: ResultRow, _ result: QueryResult) -> JSONObject {
        var object = JSONObject([
            ("query", .string(row.query)), ("rank", .int(Int64(row.rank))),
            ("end", .string(row.end.rawValue)), ("id", row.id.json), ("score", .float(row.score)),
        ])
        if result.hasEstimates {
            for (name, value) in zip(Self.estimateColumns, estimates(row)) {
                object.append(name, value.map { .float($0) } ?? .null)
            }
        }
        for (index, name) in extraColumns(result) {
            object.append(name, row.values[index].json)
        }
        return object
    }

    private func printCSV(_ result: QueryResult) throws {
        let extra = extraColumns(result)
        let fixed = Self.fixedColumns + (result.hasEstimates ? Self.estimateColumns : [])
        try Console.print((fixed + extra.map(\.name)).map(Self.csv).joined(separator: ","))
        for row in result.rows {
            let estimates = result.hasEstimates ? estimates(row) : []
            let cells =
                [row.query, "\(row.rank)", row.end.rawValue, "\(row.id)", "\(row.score)"]
                + estimates.map { $0.map { "\($0)" } ?? "" }
                + extra.map { row.values[$0.index].plainText }
            try Console.print(cells.map(Self.csv).joined(separator: ","))
        }
    }

    private static func csv(_ cell: String) -> String {
        let special = cell.utf8.contains {
            [UInt8(ascii: ","), UInt8(ascii: "\""), 10, 13].contains($0)
        }
        return special
            ? "\"" + cell.unicodeScalars.map { $0 == "\"" ? "\"\"" : "\($0)" }.joined() + "\""
            : cell
    }

    /// What was selected, in that order; query and end only where they tell rows apart.
    private func printTable(_ result: QueryResult) throws {
        var columns: [TextTable.Column] = []
        let hasQueries = Set(result.rows.map(\.query)).count > 1
        let hasEnds = Set(result.rows.map(\.end)).count > 1
        if hasQueries, !result.columns.contains("query") { columns.append(.init(title: "query")) }
        if hasEnds { columns.append(.init(title: "end")) }
        let showsRank = !result.columns.contains("rank")
        if showsRank { columns.append(.init(title: "rank", alignment: .right)) }
        let showsID = !result.columns.contains("id")
        if showsID { columns.append(.init(title: "id")) }
        let showsScore = !result.columns.contains("score")
        if showsScore { columns.append(.init(title: "score", alignment: .right)) }
        if result.hasEstimates {
            columns += Self.estimateColumns.map { .init(title: $0, alignment: .right) }
        }
        for (index, name) in result.columns.enumerated() {
            let isNumber = result.rows.lazy.compactMap { $0.values[index] }.first.map {
                $0.type == .int || $0.type == .float
            }
            columns.append(.init(title: name, alignment: isNumber ?? false ? .right : .left))
        }
        var table = TextTable(columns)
        for row in result.rows {
            var cells: [String] = []
            if hasQueries, !result.columns.contains("query") { cells.append(row.query) }
            if hasEnds { cells.append(row.end.rawValue) }
            if showsRank { cells.append("\(row.rank)") }
            if showsID { cells.append("\(row.id)") }
            if showsScore { cells.append(Self.readable(row.score)) }
            if result.hasEstimates {
                cells += estimates(row).map { $0.map(Self.readable) ?? "" }
            }
            cells += row.values.map { value in
                if case .float(let number) = value {
                    Self.readable(number)
                } else {
                    value.plainText
                }
            }
            table.append(cells)
        }
        for line in table.lines(width: Console.width(of: STDOUT_FILENO), bold: useColor) {
            try Console.print(line)
        }
        if result.rows.isEmpty { try Console.print("(no rows)") }
    }

    /// Six significant digits: enough to compare by eye.
    private static func readable(_ number: Double) -> String {
        let isPlain = number.magnitude >= 1e-4 && number.magnitude < 1e6 || number == 0
        var characters = [CChar](repeating: 0, count: 64)
        _ = withVaList([number]) { vsnprintf(&characters, 64, isPlain ? "%.6f" : "%.5e", $0) }
        return String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    }
}

extension FieldValue? {
    var plainText: String {
        switch self {
        case nil: ""
        case .string(let value): value
        case .int(let value): "\(value)"
        case .float(let value): "\(value)"
        case .bool(let value): "\(value)"
        }
    }
}
