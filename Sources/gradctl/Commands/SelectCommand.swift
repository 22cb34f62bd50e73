// Choosing rows to train on.

import ArgumentParser
import GradDB
import GradDBQuery

struct SelectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "select", abstract: "Choose rows: for a task, or to cover the rest.",
        discussion: """
            With --query the rows with the highest scores against the vectors of a file: LESS (Xia and \
            others, ICML 2024). With --coreset a subset that covers the rest, each row the one that \
            is farthest from those chosen before it. The rows are written as JSON Lines, when all \
            of them are known; until then progress is kept in FILE.progress, from which --resume goes \
            on.

            Examples:
              gradctl select alpaca --query task.safetensors --fraction 5% --out best.jsonl
              gradctl select alpaca --query task.npy --checkpoint c1 c2 c3 --count 1000 \\
                --out best.jsonl
              gradctl select alpaca --coreset --count 500 --where "tokens < 512" \\
                --out cover.jsonl
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: ArgumentHelp("Vectors of the task.", valueName: "file")) var query: String?

    @Option(help: "Of the scores against several vectors: mean, max or sum (default: mean).")
    var reduce: InfluenceOptions.Reduction?

    @Option(help: "cosine or dot (default: cosine).") var measure: InfluenceOptions.Measure?

    @Flag(help: "Cover all rows.") var coreset = false

    @Option(help: ArgumentHelp("A share of the rows, such as 5% or 0.05.", valueName: "share"))
    var fraction: String?

    @Option(help: "A number of rows.") var count: Int?

    @Option(help: ArgumentHelp("Where the chosen rows go.", valueName: "file")) var out: String

    @Option(
        name: .customLong("checkpoint"), parsing: .upToNextOption,
        help: ArgumentHelp(
            "Checkpoints; the scores of several are summed by their weights (default: the newest).",
            valueName: "name"))
    var checkpoints: [String] = []

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Layers that count (default: all).", valueName: "glob"))
    var layers: [String] = []

    @Option(help: ArgumentHelp("A stored preconditioner.", valueName: "name"))
    var precondition: String?

    @Option(
        name: .customLong("where"),
        help: ArgumentHelp("Only rows for which this is true.", valueName: "condition"))
    var condition: String?

    @Option(help: ArgumentHelp("A snapshot's number, a tag or a time.", valueName: "version"))
    var at: String?

    @Flag(help: "Go on from FILE.progress.") var resume = false

    func validate() throws {
        guard (query == nil) == coreset else {
            throw ValidationError("select takes either --query FILE or --coreset.")
        }
        guard (fraction == nil) != (count == nil) else {
            throw ValidationError("select takes either --fraction or --count.")
        }
        if let count, count < 1 {
            throw ValidationError("--count takes a number of at least 1, not \(count).")
        }
        guard !coreset || (reduce == nil && measure == nil) else {
            throw ValidationError("--reduce and --measure are of scores against --query.")
        }
        guard !coreset || checkpoints.count < 2 else {
            throw ValidationError("--coreset is of one checkpoint.")
        }
        guard !coreset || precondition == nil else {
            throw ValidationError("--precondition is of scores against --query.")
        }
        guard !out.isEmpty else { throw ValidationError("--out takes the name of a file.") }
    }

    func run() throws {
        let started = ContinuousClock.now
        let size =
            try fraction.map { try SelectionSize(fraction: $0) } ?? .count(count ?? 1)
        let cancellation = Interruption.watch()
        let database = try globals.openDatabase()
        // Before hours of work: whether there is a place for what it will give.
        let output = try OutputFile(out)
        let bar = StageBar(isShown: !globals.quiet)
        defer { bar.finish() }
        let result = try choose(database, size, bar, cancellation)
        bar.finish()
        if result.zeroRows > 0 {
            globals.note(
                "\(result.zeroRows.grouped) rows are zero in the chosen layers; they have no direction, "
                    + "and are left out")
        }
        for index in 0..<result.count {
            try cancellation.check()
            try output.write(try result.json(index).text + "\n")
        }
        try output.finish()
        try result.finish()
        try report(result, seconds: (ContinuousClock.now - started).seconds)
    }

    private func scope(_ cancellation: Cancellation) -> SelectionScopeOptions {
        var scope = SelectionScopeOptions(table: table)
        scope.version = at
        scope.checkpoints = checkpoints
        scope.layers = layers
        scope.condition = condition
        scope.threads = globals.threadCount
        scope.cancellation = cancellation
        return scope
    }

    private func choose(
        _ database: Database, _ size: SelectionSize, _ bar: StageBar, _ cancellation: Cancellation
    ) throws -> SelectionResult {
        guard let query else {
            var options = CoresetOptions(scope(cancellation), size: size, output: out)
            options.resumes = resume
            return try Coreset(database, options).run { bar.update($0, share: $1) }
        }
        var options = InfluenceOptions(
            scope(cancellation), query: query, size: size, output: out)
        options.reduction = reduce ?? .mean
        options.measure = measure ?? .cosine
        options.preconditioner = precondition
        options.resumes = resume
        var selection = try InfluenceSelection(database, options)
        return try selection.run { bar.update($0, share: $1) }
    }

    private func report(_ result: SelectionResult, seconds: Double) throws {
        guard globals.json else {
            if globals.quiet { return }
            let radius = result.radius.map { ", none farther than \(Units.cosine($0))" } ?? ""
            try Console.print(
                "\(result.count.grouped) of \(result.candidates.grouped) rows to \(out)\(radius), in "
                    + Units.seconds(seconds))
            return
        }
        var object = JSONObject([
            ("output", .string(out)), ("table", .string(table)),
            ("snapshot", .int(Int64(result.snapshot))), ("rows", .int(Int64(result.count))),
            ("of", .int(Int64(result.candidates))),
        ])
        if let radius = result.radius { object.append("radius", .float(radius)) }
        object.append("seconds", .float(seconds))
        object.append("resumed", .bool(result.isResumed))
        try Console.print(object.text)
    }
}

extension InfluenceOptions.Reduction: ExpressibleByArgument {}
extension InfluenceOptions.Measure: ExpressibleByArgument {}
