// Rows as a table for people. The widths of its columns are those of the first rows; what follows is
// written as it comes.

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

final class TablePrinter: RowPrinter {
    private let output: any TextOutput
    private let useColor: Bool
    /// Rows whose cells decide about widths.
    private static let measuredRows = 1_000

    private var layout: Layout?
    private var table = TextTable([])
    private var waiting = 0
    private var widths: [Int]?
    private var isEmpty = true

    /// Which cells a row has, in order.
    private struct Layout {
        var showsQuery: Bool
        var showsEnd: Bool
        var showsRank: Bool
        var showsID: Bool
        var showsScore: Bool
        var showsLayer: Bool
        var hasEstimates: Bool
    }

    init(to output: any TextOutput, useColor: Bool) {
        self.output = output
        self.useColor = useColor
    }

    /// What was selected, in that order; query and end only where they tell rows apart.
    func begin(_ header: ResultHeader) {
        let names = Set(header.columns.map(\.name))
        let layout = Layout(
            showsQuery: header.answers > 1 && !names.contains("query"),
            showsEnd: header.ends.count > 1, showsRank: !names.contains("rank"),
            showsID: !names.contains("id"), showsScore: !names.contains("score"),
            showsLayer: header.layers != nil && !names.contains("layer"),
            hasEstimates: header.hasEstimates)
        var columns: [TextTable.Column] = []
        if layout.showsQuery { columns.append(.init(title: "query")) }
        if layout.showsEnd { columns.append(.init(title: "end")) }
        if layout.showsRank { columns.append(.init(title: "rank", alignment: .right)) }
        if layout.showsID { columns.append(.init(title: "id")) }
        if layout.showsLayer { columns.append(.init(title: "layer")) }
        if layout.showsScore { columns.append(.init(title: "score", alignment: .right)) }
        if layout.hasEstimates {
            columns += ["score_low", "score_high", "expected_recall"].map {
                .init(title: $0, alignment: .right)
            }
        }
        columns += header.columns.map { column in
            let isNumber = column.type == .int || column.type == .float
            return .init(title: column.name, alignment: isNumber ? .right : .left)
        }
        self.layout = layout
        table = TextTable(columns)
    }

    func append(_ row: ResultRow) throws {
        guard let layout else { return }
        isEmpty = false
        var cells: [String] = []
        if layout.showsQuery { cells.append(row.query) }
        if layout.showsEnd { cells.append(row.end.rawValue) }
        if layout.showsRank { cells.append("\(row.rank)") }
        if layout.showsID { cells.append(row.id.plainText) }
        if layout.showsLayer { cells.append(row.layer ?? "") }
        if layout.showsScore { cells.append(Self.readable(row.score)) }
        if layout.hasEstimates {
            cells += [row.interval?.lowerBound, row.interval?.upperBound, row.expectedRecall].map {
                $0.map(Self.readable) ?? ""
            }
        }
        cells += row.values.map { value in
            if case .float(let number) = value {
                Self.readable(number)
            } else {
                value.plainText
            }
        }
        if let widths {
            try output.write(table.line(cells, widths) + "\n")
            return
        }
        table.append(cells)
        waiting += 1
        if waiting == Self.measuredRows { try writeMeasured() }
    }

    func end() throws {
        if widths == nil { try writeMeasured() }
        if isEmpty { try output.write("(no rows)\n") }
    }

    private func writeMeasured() throws {
        let widths = table.widths(limit: Console.width(of: STDOUT_FILENO))
        for line in table.lines(widths, bold: useColor) { try output.write(line + "\n") }
        table.removeRows()
        self.widths = widths
    }

    /// Six significant digits: enough to compare by eye.
    private static func readable(_ number: Double) -> String {
        let isPlain = number.magnitude >= 1e-4 && number.magnitude < 1e6 || number == 0
        var characters = [CChar](repeating: 0, count: 64)
        _ = withVaList([number]) { vsnprintf(&characters, 64, isPlain ? "%.6f" : "%.5e", $0) }
        return String(decoding: characters.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    }
}
