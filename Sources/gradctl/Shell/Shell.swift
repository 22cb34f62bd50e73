// The shell: reads statements and dot commands, answers each, and goes on whatever happens.
//
// 1. A line is read, behind a prompt where standard input is a terminal.
// 2. A line that begins with a dot, while no statement has begun, is a command (Shell+Commands.swift).
// 3. Else it is added to what has been typed, and each whole statement of that is run against the
//    newest snapshot. Ctrl-C forgets what has been typed, or stops the statement that runs.
//
// The exit status is that of the last statement or command that failed, where standard input is no
// terminal: a script wants to know, a person has seen it.

import GradDB
import GradDBQuery

#if canImport(Glibc)
    import Glibc
#endif

final class Shell {
    let globals: GlobalOptions
    let defaultTable: String?
    let isInteractive: Bool

    var mode: OutputFormat
    var showsTime = false
    var explains = false
    var parameters: [String: String]
    /// What `.output` opened.
    var file: AnswerPrinter?
    var isDone = false
    /// Files within files, which `.read` opens.
    var readDepth = 0

    /// Another device than the processor; what it keeps, it keeps between statements.
    private let device: DeviceUse?
    private var status: Int32 = 0
    private var history: ShellHistory?
    /// Tells the line editor.
    private var remember: (String) -> Void = { _ in }

    /// The formats that go to the terminal.
    static let modes = ["table", "json", "jsonl", "csv", "matrix", "heatmap"]
        .compactMap { OutputFormat(rawValue: $0) }

    init(
        _ globals: GlobalOptions, table: String?, parameters: [String: String], device: DeviceUse?
    ) {
        self.globals = globals
        self.device = device
        self.parameters = parameters
        defaultTable = table
        mode = globals.json ? .jsonl : .table
        isInteractive = isatty(STDIN_FILENO) == 1
    }

    /// Runs to the end of standard input, or to `.quit`.
    ///
    /// - Returns: the exit status.
    func run() throws -> Int32 {
        guard isInteractive else {
            try read(PlainLines(STDIN_FILENO, name: "standard input"))
            try finishOutput()
            return status
        }
        Interruption.watchAtPrompt()
        try read(editor() ?? PlainLines(STDIN_FILENO, name: "standard input"))
        try finishOutput()
        return Interruption.termination.isCancelled ? GradDBError.Kind.interrupted.rawValue : 0
    }

    /// Nil where lines cannot be edited.
    private func editor() -> (any LineSource)? {
        let completer = Completer(
            open: { [globals] in try? globals.openDatabase() }, defaultTable: defaultTable)
        guard isatty(STDOUT_FILENO) == 1, getenv("TERM").map({ String(cString: $0) }) != "dumb",
            let editor = ReadlineLines(complete: completer.completion)
        else { return nil }
        let stored = ShellHistory.stored()
        for line in stored.lines { editor.remember(line) }
        history = stored
        remember = editor.remember
        return editor
    }

    // MARK: lines

    /// Reads and answers until the lines end.
    func read(_ lines: any LineSource) throws {
        var pending = ""
        while !isDone, !Interruption.termination.isCancelled {
            let line = try lines.next(prompt: pending.isEmpty ? "graddb> " : "   ...> ")
            if isInteractive { Interruption.reset() }
            // Without a prompt, Ctrl-C ends it all.
            try Interruption.cancellation.check()
            switch line {
            case .interrupted:
                pending = ""
                Console.writeError(raw: "\n")
            case .text(let text) where pending.isEmpty && text.hasPrefix("."):
                keep(text)
                try attempt { try command(text) }
            case .text(let text):
                // Comments and blank lines before a statement are not kept.
                pending = try run(pending + text + "\n")
            case .end:
                if Statement.beginning(of: pending) != .empty {
                    keep(pending)
                    try attempt { try answer(pending) }
                } else if isInteractive, readDepth == 0 {
                    Console.writeError(raw: "\n")
                }
                return
            }
        }
    }

    /// Runs the whole statements of a text; what is left has not ended yet.
    private func run(_ text: String) throws -> String {
        var text = text
        while true {
            switch Statement.beginning(of: text) {
            case .empty: return ""
            case .incomplete: return text
            case .complete(let end):
                let statement = String(decoding: Array(text.utf8.prefix(end)), as: UTF8.self)
                text = String(decoding: Array(text.utf8.dropFirst(end)), as: UTF8.self)
                text = String(text.drop(while: \.isWhitespace))
                keep(statement)
                if Statement.beginning(of: String(statement.dropLast())) != .empty {
                    try attempt { try answer(statement) }
                }
                // A script that was interrupted goes no further, nor does what stood in one line.
                if Interruption.cancellation.isCancelled { return "" }
            }
        }
    }

    private func keep(_ entry: String) {
        guard readDepth == 0, let line = history?.remember(entry) else { return }
        remember(line)
    }

    // MARK: answers

    private func answer(_ statement: String) throws {
        let started = ContinuousClock.now
        var options = QueryOptions()
        options.threads = globals.threadCount
        options.cancellation = Interruption.cancellation
        options.defaultTable = defaultTable
        options.parameters = parameters
        options.device = device
        // Opened anew, so that it sees what has been committed since.
        let engine = QueryEngine(try globals.openDatabase(), options: options)
        let printer = try file ?? AnswerPrinter(format: mode, globals)
        for query in try engine.prepare(script: statement, explain: explains ? .plan : nil) {
            try printer.print(query, of: engine)
        }
        try Console.flush()
        if showsTime {
            let seconds = (ContinuousClock.now - started) / .milliseconds(1) / 1000
            Console.printError("\((seconds * 1000).rounded() / 1000) s")
        }
    }

    /// Reports what goes wrong and remembers the status that it would have ended a command with.
    private func attempt(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as GradDBError {
            Console.discardOutput()
            if error.kind == .interrupted, !isInteractive { throw error }
            status = error.kind.rawValue
            Console.report(error.message, kind: error.kind.name, exit: status, globals.json)
        } catch {
            Console.discardOutput()
            status = 1
            Console.report("\(error)", kind: "failed", exit: status, globals.json)
        }
    }

    /// Ends the file that `.output` began.
    func finishOutput() throws {
        defer { file = nil }
        try file?.finish()
        try Console.flush()
    }
}
