// Rows as lines of JSON or CSV, each written as it comes.

import GradDB
import GradDBQuery

/// Prints the rows of one statement.
protocol RowPrinter: ResultSink {
    /// Called after the last row.
    func end() throws
}

/// The columns of an answer in the order of format-spec/cli-json.md: those that every answer has,
/// then what SELECT adds to them.
struct AnswerColumns {
    let header: ResultHeader
    /// Names of the columns before those of SELECT.
    let fixed: [String]
    /// SELECTed columns that are not among the fixed ones anyway.
    let extra: [(index: Int, name: String)]

    init(_ header: ResultHeader) {
        self.header = header
        var fixed = ["query", "rank", "end", "id", "score"]
        if header.layers != nil { fixed.append("layer") }
        if header.hasEstimates { fixed += ["score_low", "score_high", "expected_recall"] }
        var seen = Set(fixed)
        self.fixed = fixed
        extra = header.columns.enumerated().compactMap { index, column in
            seen.insert(column.name).inserted ? (index, column.name) : nil
        }
    }

    var names: [String] { fixed + extra.map(\.name) }

    /// The values of a row, one for each of `names`.
    func values(_ row: ResultRow) -> [FieldValue?] {
        var values: [FieldValue?] = [
            .string(row.query), .int(Int64(row.rank)), .string(row.end.rawValue), row.id,
            .float(row.score),
        ]
        if header.layers != nil { values.append(row.layer.map { .string($0) }) }
        if header.hasEstimates {
            values += [row.interval?.lowerBound, row.interval?.upperBound, row.expectedRecall].map {
                number in number.map { .float($0) }
            }
        }
        return values + extra.map { row.values[$0.index] }
    }
}

/// One object a line, or one array of them.
final class JSONPrinter: RowPrinter {
    private let output: any TextOutput
    private let isArray: Bool
    private var columns: AnswerColumns?
    private var isFirst = true

    init(to output: any TextOutput, asArray isArray: Bool) {
        self.output = output
        self.isArray = isArray
    }

    func begin(_ header: ResultHeader) throws {
        columns = AnswerColumns(header)
        if isArray { try output.write("[") }
    }

    func append(_ row: ResultRow) throws {
        guard let columns else { return }
        let members = zip(columns.names, columns.values(row)).map { ($0, $1.json) }
        let text = JSONObject(members).text
        try output.write(isArray ? (isFirst ? "" : ", ") + text : text + "\n")
        isFirst = false
    }

    func end() throws {
        if isArray { try output.write("]\n") }
    }
}

/// A header line and a line a row (RFC 4180).
final class CSVPrinter: RowPrinter {
    private let output: any TextOutput
    private var columns: AnswerColumns?

    init(to output: any TextOutput) { self.output = output }

    func begin(_ header: ResultHeader) throws {
        let columns = AnswerColumns(header)
        self.columns = columns
        try write(columns.names)
    }

    func append(_ row: ResultRow) throws {
        guard let columns else { return }
        try write(columns.values(row).map(\.plainText))
    }

    func end() {}

    private func write(_ cells: [String]) throws {
        try output.write(cells.map(Self.quoted).joined(separator: ",") + "\n")
    }

    private static func quoted(_ cell: String) -> String {
        let special = cell.utf8.contains {
            [UInt8(ascii: ","), UInt8(ascii: "\""), 10, 13].contains($0)
        }
        return special
            ? "\"" + cell.unicodeScalars.map { $0 == "\"" ? "\"\"" : "\($0)" }.joined() + "\""
            : cell
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
