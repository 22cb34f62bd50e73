// Finding rows that are nearly alike.

import ArgumentParser
import GradDB
import GradDBQuery

struct DuplicatesCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "duplicates", abstract: "Find rows whose gradients are nearly alike.",
        discussion: """
            Rows whose gradients have a cosine of at least --above, over the chosen layers together, are \
            pairs; rows that pairs connect are a group. Pairs are found by hashing, each with a \
            probability of at least --recall, and their cosines are exact. With --recall 1 all pairs \
            are compared.

            Examples:
              gradctl duplicates alpaca
              gradctl duplicates alpaca --above 0.95 --where "source = 'web'" \\
                --out groups.jsonl
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String

    @Option(help: "The least cosine of a pair, from 0.5 to 1.") var above = 0.99

    @Option(help: "The checkpoint (default: the newest).") var checkpoint: String?

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

    @Option(help: "The least probability of finding each pair.") var recall = 0.999

    @Option(help: ArgumentHelp("Write the groups to this file.", valueName: "file"))
    var out: String?

    func run() throws {
        let started = ContinuousClock.now
        var scope = SelectionScopeOptions(table: table)
        scope.version = at
        scope.checkpoints = checkpoint.map { [$0] } ?? []
        scope.layers = layers
        scope.condition = condition
        scope.threads = globals.threadCount
        scope.cancellation = Interruption.watch()
        var options = DuplicateOptions(scope)
        options.above = above
        options.recall = recall
        let search = try Duplicates(try globals.openDatabase(), options)
        let output = try out.map { try OutputFile($0) }
        let bar = StageBar(isShown: !globals.quiet)
        let outcome = Result { try search.run { bar.update($0, share: $1) } }
        bar.finish()
        let report = try outcome.get()
        if report.zeroRows > 0 {
            globals.note(
                "\(report.zeroRows.grouped) rows are zero in the chosen layers; they have no direction, "
                    + "and are duplicates of none")
        }
        for index in 0..<report.groupCount {
            let line = try json(report, index).text
            if let output {
                try Interruption.cancellation.check()
                try output.write(line + "\n")
            } else if globals.json {
                try Console.print(line)
            } else if !globals.quiet {
                try Console.print(try text(report, index))
            }
        }
        try output?.finish()
        try summarise(report, seconds: (ContinuousClock.now - started).seconds)
    }

    private func json(_ report: DuplicateReport, _ index: Int) throws -> JSONObject {
        let group = try report.group(index)
        return JSONObject([
            ("group", .int(Int64(index + 1))), ("ids", .array(group.ids.map(\.json))),
            ("rows", .int(Int64(group.ids.count))), ("lowest", .float(group.lowest)),
            ("highest", .float(group.highest)),
        ])
    }

    /// As many ids as a line takes.
    private func text(_ report: DuplicateReport, _ index: Int) throws -> String {
        let group = try report.group(index)
        let shown = group.ids.prefix(8).map { Console.printable("\($0)") }.joined(separator: "  ")
        let rest = group.ids.count > 8 ? "  … \((group.ids.count - 8).grouped) more" : ""
        return "\(Units.cosine(group.lowest)) to \(Units.cosine(group.highest))  \(shown)\(rest)"
    }

    private func summarise(_ report: DuplicateReport, seconds: Double) throws {
        if globals.json {
            try Console.print(
                JSONObject([
                    ("table", .string(table)), ("snapshot", .int(Int64(report.snapshot))),
                    ("checkpoint", .string(report.checkpoint)),
                    ("rows", .int(Int64(report.rows))), ("groups", .int(Int64(report.groupCount))),
                    ("pairs", .int(Int64(report.pairs))),
                    ("duplicates", .int(Int64(report.duplicates))), ("recall", .float(recall)),
                    ("seconds", .float(seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "\(report.rows.grouped) rows: \(report.duplicates.grouped) duplicates in "
                    + "\(report.groupCount.grouped) groups, \(report.pairs.grouped) pairs, in "
                    + Units.seconds(seconds))
        }
    }
}

extension Units {
    static func cosine(_ value: Double) -> String {
        let digits = String(Int((abs(value) * 1e4).rounded()) + 100_000)
        let text = digits.dropFirst(digits.count - 5)
        return (value < 0 ? "-" : "") + text.prefix(1) + "." + text.dropFirst()
    }
}
