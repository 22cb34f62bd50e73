// Asking: query and explain.

import ArgumentParser
import GradDB
import GradDBQuery
import SystemPackage

struct QueryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "query", abstract: "Ask which rows score highest, or lowest.",
        discussion: """
            Examples:
              gradctl query "SELECT id, score, source FROM alpaca
                             SCORE cosine TO 'howdy.safetensors' MEAN
                             WHERE source = 'alpaca' AND tokens BETWEEN 16 AND 512 TOP 10"
              gradctl query "FROM alpaca AT 'v1' SCORE dot TO ROW 'alpaca-7'
                             TOP 5 BOTTOM 5"
              gradctl query "FROM alpaca SCORE cosine TO \\$q TOP 3" \\
                --param q=howdy.npy --json
              gradctl query -f questions.sql --format csv > answers.csv
            """)

    @OptionGroup var globals: GlobalOptions
    @OptionGroup var device: DeviceOptions

    @Argument(help: "A statement, or - to read statements from standard input.")
    var statement: String?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Read statements, each ended by ;, from a file.", valueName: "file"))
    var file: String?

    @Option(
        name: .customLong("param"),
        help: ArgumentHelp("What $name stands for: a file, or a value.", valueName: "name=value"))
    var parameters: [String] = []

    @Option(help: "How to print answers.") var format: OutputFormat?

    @Option(help: "Take this plan, one of those that explain names, and not the cheapest.")
    var plan: String?

    @Option(help: ArgumentHelp("A file to write answers to.", valueName: "file"))
    var out: String?

    func validate() throws {
        guard (statement == nil) != (file == nil) else {
            throw ValidationError("Give either a statement, or -f FILE, or - for standard input.")
        }
    }

    func run() throws {
        var options = try queryOptions(globals, parameters)
        options.plan = plan
        options.device = try device.use()
        let engine = QueryEngine(try globals.openDatabase(), options: options)
        // All statements are resolved before the first one runs: a wrong name in the last one is
        // not found out after an hour, with half of the answers printed.
        let text = try text()
        try options.cancellation.check()
        let queries = try engine.prepare(script: text)
        let printer = try AnswerPrinter(
            format: format ?? (globals.json ? .jsonl : .table), to: out, globals)
        try printer.check(queries)
        for query in queries { try printer.print(query, of: engine) }
        try printer.finish()
    }

    private func text() throws -> String {
        if let file, file != "-" { return try Self.read(file, name: file) }
        guard let statement, statement != "-" else {
            return try Self.read("/dev/stdin", name: "standard input")
        }
        return statement
    }

    /// Statements of more than this are no statements.
    private static let maxScriptBytes = 64 << 20

    private static func read(_ path: String, name: String) throws -> String {
        let bytes: [UInt8]
        do {
            let file =
                path == "/dev/stdin" ? .standardInput : try FileDescriptor.open(path, .readOnly)
            bytes = try file.readAll(limit: maxScriptBytes)
            if path != "/dev/stdin" { try file.close() }
        } catch let error as Errno {
            throw GradDBError(.badInput, "cannot read \(name): \(error.description)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw GradDBError(.badInput, "\(name) is not UTF-8 text")
        }
        return text
    }
}

struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Show how a statement would run.",
        discussion: """
            Examples:
              gradctl explain "FROM alpaca SCORE cosine TO 'howdy.safetensors' TOP 10"
              gradctl explain --analyze "FROM alpaca SCORE dot TO ROW 'alpaca-7' TOP 10"
            """)

    @OptionGroup var globals: GlobalOptions
    @OptionGroup var device: DeviceOptions

    @Argument(help: "A statement.") var statement: String

    @Flag(help: "Run it, and show what happened.") var analyze = false

    @Option(
        name: .customLong("param"),
        help: ArgumentHelp("What $name stands for: a file, or a value.", valueName: "name=value"))
    var parameters: [String] = []

    @Option(help: "Take this plan, one of those that are listed, and not the cheapest.")
    var plan: String?

    func run() throws {
        var options = try queryOptions(globals, parameters)
        options.plan = plan
        options.device = try device.use()
        let engine = QueryEngine(try globals.openDatabase(), options: options)
        let printer = try AnswerPrinter(format: globals.json ? .jsonl : .table, globals)
        for query in try engine.prepare(script: statement, explain: analyze ? .analyze : .plan) {
            try printer.print(query, of: engine)
        }
        try printer.finish()
    }
}

func queryOptions(_ globals: GlobalOptions, _ parameters: [String]) throws -> QueryOptions {
    var options = QueryOptions()
    options.threads = globals.threadCount
    options.cancellation = Interruption.watch()
    for parameter in parameters {
        guard let equals = parameter.firstIndex(of: "="), equals != parameter.startIndex else {
            throw GradDBError(.usage, "--param takes NAME=VALUE, not '\(parameter)'")
        }
        let name = String(parameter[..<equals])
        options.parameters[name.hasPrefix("$") ? String(name.dropFirst()) : name] =
            String(parameter[parameter.index(after: equals)...])
    }
    return options
}

extension FileDescriptor {
    /// Everything up to the end, or to one byte more than `limit`.
    fileprivate func readAll(limit: Int) throws -> [UInt8] {
        var all: [UInt8] = []
        while all.count <= limit {
            let piece = try [UInt8](unsafeUninitializedCapacity: 1 << 16) { buffer, count in
                count = try read(into: UnsafeMutableRawBufferPointer(buffer))
            }
            if piece.isEmpty { break }
            all += piece
        }
        return all
    }
}
