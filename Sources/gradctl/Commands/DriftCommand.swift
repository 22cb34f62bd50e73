// How gradients changed between two checkpoints.

import ArgumentParser
import GradDB
import GradDBQuery

struct DriftCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drift", abstract: "Compare the gradients of two checkpoints, row by row.",
        discussion: """
            Of each row that both checkpoints have: the cosine of its two gradients and the ratio of \
            their norms, by layer and over the chosen layers together. With --query also which rows \
            enter and leave the answer. --out takes a line for every row.

            Examples:
              gradctl drift alpaca --from step-100 --to step-300
              gradctl drift alpaca --from step-100 --to step-300 \\
                --query howdy.safetensors --top 20
              gradctl drift alpaca --from a --to b --layers 'layers.*.mlp.*' \\
                --out rows.jsonl
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: ArgumentHelp("The first checkpoint.", valueName: "checkpoint")) var from: String

    @Option(help: ArgumentHelp("The later checkpoint.", valueName: "checkpoint")) var to: String

    @Option(help: ArgumentHelp("Query vectors whose answers are compared.", valueName: "file"))
    var query: String?

    @Option(help: "Of the queries' scores: cosine or dot (default: cosine).")
    var measure: InfluenceOptions.Measure?

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Layers that count (default: all).", valueName: "glob"))
    var layers: [String] = []

    @Option(
        name: .customLong("where"),
        help: ArgumentHelp("Only rows for which this is true.", valueName: "condition"))
    var condition: String?

    @Option(help: ArgumentHelp("A snapshot's number, a tag or a time.", valueName: "version"))
    var at: String?

    @Option(help: "How many rows to list: those that turned most, and each answer's first.")
    var top = 10

    @Option(help: ArgumentHelp("Write a line for every row to this file.", valueName: "file"))
    var out: String?

    func validate() throws {
        guard query != nil || measure == nil else {
            throw ValidationError("--measure is of scores against --query.")
        }
        guard top >= 0 else {
            throw ValidationError("--top takes a number of at least 0, not \(top).")
        }
    }

    func run() throws {
        let started = ContinuousClock.now
        let drift = try Drift(try globals.openDatabase(), options)
        let output = try out.map { try OutputFile($0) }
        let bar = StageBar(isShown: !globals.quiet)
        defer { bar.finish() }
        let report = try drift.run(
            progress: { bar.update($0, share: $1) },
            lines: output.map { output in { try output.write($0) } })
        bar.finish()
        let signs = drift.layersOfSigns
        if !signs.isEmpty {
            globals.note(
                "stored as bits: \(signs.joined(separator: ", ")); there what is called the cosine "
                    + "comes out as π/2 less the angle")
        }
        let seconds = (ContinuousClock.now - started).seconds
        if globals.json {
            try printJSON(drift, report)
        } else if !globals.quiet {
            try printText(drift, report)
        }
        try drift.queries(
            progress: { bar.update($0, share: $1) },
            { answers in
                bar.finish()
                try show(answers)
            })
        bar.finish()
        try output?.finish()
        if globals.json {
            try Console.print(report.json(table: table, seconds: seconds).text)
        } else if !globals.quiet {
            let file = out.map { ", all rows in \($0)" } ?? ""
            try Console.print("\(Units.bytes(report.bytes)) in \(Units.seconds(seconds))\(file)")
        }
    }

    private func show(_ answers: QueryDrift) throws {
        if globals.json {
            for line in answers.lines(measure: measure ?? .cosine, top: top) {
                try Console.print(line.text)
            }
        } else if !globals.quiet {
            try DriftText(from: from, to: to).print(answers, top: top)
        }
    }

    private var options: DriftOptions {
        var scope = SelectionScopeOptions(table: table)
        scope.version = at
        scope.layers = layers
        scope.condition = condition
        scope.threads = globals.threadCount
        scope.cancellation = Interruption.watch()
        var options = DriftOptions(scope, from: from, to: to)
        options.query = query
        options.measure = measure ?? .cosine
        options.top = top
        return options
    }

    private func printJSON(_ drift: Drift, _ report: DriftReport) throws {
        for (index, row) in report.mostTurned.enumerated() {
            var object = JSONObject([("rank", .int(Int64(index + 1)))])
            object.append(contentsOf: try drift.json(row))
            try Console.print(object.text)
        }
        for layer in report.layers { try Console.print(layer.json(rows: report.rows).text) }
    }

    private func printText(_ drift: Drift, _ report: DriftReport) throws {
        let text = DriftText(from: from, to: to)
        try text.print(report, table: table)
        try text.print(report.mostTurned.map { (id: try drift.id($0), row: $0) })
    }
}
