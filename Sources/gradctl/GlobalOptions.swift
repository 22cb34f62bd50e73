// Options that every command has.

import ArgumentParser
import GradDB

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

struct GlobalOptions: ParsableArguments {
    @Option(name: .customLong("db"), help: "The database's directory (default: $GRADDB_PATH).")
    var database: String?

    @Flag(name: .customLong("json"), help: "One JSON object per line on standard output.")
    var json = false

    @Flag(help: "No progress and no notes on standard error.")
    var quiet = false

    @Flag(name: .customLong("no-color"), help: "No colours (also: NO_COLOR).")
    var noColor = false

    @Option(help: "Threads to work with (default: one per processor).")
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads takes a number from 1 to 1024, not \(threads).")
        }
    }

    func databasePath() throws -> String {
        if let path = database ?? ProcessInfo.processInfo.environment["GRADDB_PATH"],
            !path.isEmpty
        {
            return path
        }
        throw GradDBError(.usage, "which database? Give --db PATH, or set GRADDB_PATH")
    }

    var threadCount: Int { threads ?? ProcessInfo.processInfo.activeProcessorCount }

    func openDatabase() throws -> Database { try Database(path: try databasePath()) }

    /// A note for the user, on standard error.
    func note(_ text: String) {
        if !quiet { Console.printError("gradctl: note: \(Console.printable(text))") }
    }

    /// Global options may stand before the command's name; the parser wants them behind it.
    static func moveBehindCommand(_ arguments: [String]) -> [String] {
        var moved: [String] = []
        var words: [String] = []
        var rest = arguments[...]
        var commands = Gradctl.configuration.subcommands
        while let first = rest.first, !commands.isEmpty {
            if ["--json", "--quiet", "--no-color"].contains(first)
                || first.hasPrefix("--db=") || first.hasPrefix("--threads=")
            {
                moved.append(rest.removeFirst())
            } else if first == "--db" || first == "--threads", rest.count >= 2 {
                moved += rest.prefix(2)
                rest = rest.dropFirst(2)
            } else if let command = commands.first(where: {
                $0.configuration.commandName == first
            }) {
                words.append(rest.removeFirst())
                commands = command.configuration.subcommands
            } else {
                break
            }
        }
        // Where no command is complete, there is nobody to take them.
        return words + (commands.isEmpty ? moved : []) + rest
    }
}
