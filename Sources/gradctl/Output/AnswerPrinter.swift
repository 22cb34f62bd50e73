// Answers in the formats that format-spec/cli-json.md describes.

import ArgumentParser
import GradDB
import GradDBQuery

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json, jsonl, csv
}

/// Prints the answers of statements.
struct AnswerPrinter {
    let format: OutputFormat
    private let useColor: Bool

    init(format: OutputFormat, _ globals: GlobalOptions) {
        self.format = format
        let noColor = ProcessInfo.processInfo.environment["NO_COLOR"] ?? ""
        useColor = Console.isOutputTerminal && !globals.noColor && noColor.isEmpty
    }

    /// Runs a statement and prints its rows as they are known, or its plan.
    func print(_ query: QueryEngine.Prepared, of engine: QueryEngine) throws {
        let output = ConsoleOutput()
        let printer: any RowPrinter =
            switch format {
            case .table: TablePrinter(to: output, useColor: useColor)
            case .csv: CSVPrinter(to: output)
            case .jsonl: JSONPrinter(to: output, asArray: false)
            case .json: JSONPrinter(to: output, asArray: true)
            }
        let plan = try engine.run(query, into: printer)
        if query.isPlan {
            try print(plan, statement: query.text)
        } else {
            try printer.end()
        }
        try output.finish()
    }

    private func print(_ plan: QueryPlan, statement: String) throws {
        guard format == .table || format == .csv else {
            try Console.print(
                plan.json(of: statement).text)
            return
        }
        try Console.print(Console.printable(plan.rendered, keepingLines: true))
    }
}
