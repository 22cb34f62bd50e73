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
    case table, json, jsonl, csv, matrix, heatmap, svg, png, npy
}

/// Prints the answers of statements.
struct AnswerPrinter {
    let format: OutputFormat
    private let useColor: Bool
    private let output: any TextOutput
    /// What `--out` says.
    private let path: String?
    private let globals: GlobalOptions

    /// - Parameter path: of the file that answers go to; nil is standard output.
    init(format: OutputFormat, to path: String? = nil, _ globals: GlobalOptions) throws {
        self.format = format
        self.path = path
        self.globals = globals
        let noColor = ProcessInfo.processInfo.environment["NO_COLOR"] ?? ""
        useColor = Console.isOutputTerminal && !globals.noColor && noColor.isEmpty
        switch (format, path) {
        case (.table, _?), (.heatmap, _?):
            throw GradDBError(
                .usage, "--out takes all formats but \(format.rawValue), which is for terminals")
        case (.npy, nil), (.svg, nil), (.png, nil):
            throw GradDBError(
                .usage, "--format \(format.rawValue) writes a file; name it with --out FILE")
        case (.csv, let path?), (.json, let path?), (.jsonl, let path?), (.matrix, let path?):
            output = try OutputFile(path)
        default: output = ConsoleOutput()
        }
    }

    /// Refuses statements that the format cannot show.
    func check(_ queries: [QueryEngine.Prepared]) throws {
        guard [.npy, .svg, .png].contains(format), queries.count > 1 else { return }
        throw GradDBError(
            .usage,
            "--format \(format.rawValue) writes one statement's scores, not those of "
                + "\(queries.count)")
    }

    /// Runs a statement and prints its rows as they are known, or its plan.
    func print(_ query: QueryEngine.Prepared, of engine: QueryEngine) throws {
        if format == .npy, !query.isPlan { return try writeMatrix(query, of: engine) }
        let printer: any RowPrinter =
            switch format {
            case .table: TablePrinter(to: output, useColor: useColor)
            case .csv: CSVPrinter(to: output)
            case .matrix, .heatmap, .svg, .png:
                try MatrixPrinter(format, to: output, path: path, useColor: useColor)
            case .jsonl, .npy: JSONPrinter(to: output, asArray: false)
            case .json: JSONPrinter(to: output, asArray: true)
            }
        let plan = try engine.run(query, into: printer)
        if let failure = plan.deviceFailure {
            globals.note("\(failure); the processor did what was left")
        }
        if query.isPlan {
            try print(plan, statement: query.text)
        } else {
            try printer.end()
        }
        // Whoever reads along gets each answer before the next statement runs.
        try Console.flush()
    }

    /// Called after the last statement.
    func finish() throws { try output.finish() }

    private func writeMatrix(_ query: QueryEngine.Prepared, of engine: QueryEngine) throws {
        guard let path else { return }
        let started = ContinuousClock.now
        let writer = try NpyWriter(path)
        try engine.run(query, matrix: writer)
        let elapsed = ContinuousClock.now - started
        try output.write(
            try writer.finish(
                seconds: Double(elapsed.components.seconds)
                    + Double(elapsed.components.attoseconds) * 1e-18
            ).text + "\n")
    }

    private func print(_ plan: QueryPlan, statement: String) throws {
        guard format == .table || format == .csv || format == .heatmap else {
            try output.write(plan.json(of: statement).text + "\n")
            return
        }
        try output.write(Console.printable(plan.rendered, keepingLines: true) + "\n")
    }
}
