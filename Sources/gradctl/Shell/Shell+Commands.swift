// The shell's own commands: lines that begin with a dot.

import GradDB
import GradDBQuery

#if canImport(Glibc)
    import Glibc
#endif

extension Shell {
    static let commands: [(name: String, usage: String, what: String)] = [
        (".help", "", "show this"),
        (".tables", "", "the database's tables"),
        (".schema", "[TABLE]", "what a table holds: layers, fields, checkpoints, tags"),
        (".mode", modes.map(\.rawValue).joined(separator: "|"), "how answers are printed"),
        (".timer", "on|off", "how long each statement took"),
        (".explain", "on|off", "show plans in place of answers"),
        (".param", "[NAME [VALUE]]", "what $NAME stands for: a file, or a value in a condition"),
        (".read", "FILE", "run the statements of a file"),
        (".output", "[FILE]", "write answers to a file, or to the terminal again"),
        (".quit", "", "leave (also Ctrl-D)"),
    ]

    /// Files that read each other would never end.
    private static let maxReadDepth = 16

    /// - Throws: `.usage` for what is no command, and what the command throws.
    func command(_ line: String) throws {
        let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: true)
        let name = parts.first.map(String.init) ?? "."
        var argument = parts.count > 1 ? parts[1].drop { $0 == " " } : ""
        while argument.last?.isWhitespace == true { argument.removeLast() }
        switch name {
        case ".help": try help()
        case ".tables":
            for table in try globals.openDatabase().tableNames() { try Console.print(table) }
        case ".schema": try schema(String(argument))
        case ".mode": try setMode(String(argument))
        case ".timer": showsTime = try isOn(argument, name)
        case ".explain": explains = try isOn(argument, name)
        case ".param": try parameter(argument)
        case ".read": try readFile(try required(argument, name))
        case ".output": try setOutput(String(argument))
        case ".quit", ".exit": isDone = true
        default:
            let hint = NearestName.hint(for: name, among: Self.commands.map(\.name))
            throw GradDBError(
                .usage, "there is no command \(name); \(hint ?? ".help lists them")")
        }
        try Console.flush()
    }

    private func help() throws {
        for command in Self.commands {
            let usage = command.name + (command.usage.isEmpty ? "" : " " + command.usage)
            let gap = String(repeating: " ", count: max(1, 44 - usage.count))
            try Console.print(usage + gap + command.what)
        }
        try Console.print("A statement ends with ; and may stand on several lines.")
    }

    private func schema(_ name: String) throws {
        let database = try globals.openDatabase()
        let names = name.isEmpty ? try defaultTable.map { [$0] } ?? database.tableNames() : [name]
        for name in names {
            try InfoCommand.show(try database.table(name), asJSON: globals.json)
        }
    }

    private func setMode(_ name: String) throws {
        guard let mode = OutputFormat(rawValue: name), Self.modes.contains(mode) else {
            throw GradDBError(
                .usage,
                ".mode takes one of \(Self.modes.map(\.rawValue).joined(separator: ", "))"
                    + (name.isEmpty ? "; it is \(self.mode.rawValue)" : ", not '\(name)'"))
        }
        guard file == nil || mode == self.mode else {
            throw GradDBError(.usage, "a file is being written in \(self.mode); .output ends it")
        }
        self.mode = mode
    }

    private func isOn(_ argument: Substring, _ name: String) throws -> Bool {
        guard argument == "on" || argument == "off" else {
            throw GradDBError(.usage, "\(name) takes on or off")
        }
        return argument == "on"
    }

    private func required(_ argument: Substring, _ name: String) throws -> String {
        guard !argument.isEmpty else { throw GradDBError(.usage, "\(name) takes a file") }
        return String(argument)
    }

    private func parameter(_ argument: Substring) throws {
        let parts = argument.split(separator: " ", maxSplits: 1)
        guard let first = parts.first else {
            for (name, value) in parameters.sorted(by: { $0.key < $1.key }) {
                try Console.print("$\(name) = \(value)")
            }
            return
        }
        let name = String(first.hasPrefix("$") ? first.dropFirst() : first)
        if parts.count > 1 {
            parameters[name] = String(parts[1].drop { $0 == " " })
        } else if let value = parameters[name] {
            try Console.print("$\(name) = \(value)")
        } else {
            throw GradDBError(.usage, "nothing is bound to $\(name); .param \(name) VALUE does it")
        }
    }

    private func readFile(_ path: String) throws {
        guard readDepth < Self.maxReadDepth else {
            throw GradDBError(
                .usage, "files read each other \(Self.maxReadDepth) deep; that ends here")
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw GradDBError(.badInput, "cannot read \(path): \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        readDepth += 1
        defer { readDepth -= 1 }
        try read(PlainLines(descriptor, name: path))
    }

    private func setOutput(_ path: String) throws {
        try finishOutput()
        guard !path.isEmpty else { return }
        file = try AnswerPrinter(format: mode, to: path, globals)
    }
}
