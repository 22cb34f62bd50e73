// Asking one statement after the other.

import ArgumentParser
import GradDB

struct ShellCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shell", abstract: "Ask statement after statement at a prompt.",
        discussion: """
            Statements end with ; and may stand on several lines. .help lists the shell's own
            commands. Ctrl-C stops a statement or clears the line, Ctrl-D leaves.

            Examples:
              gradctl shell
              gradctl shell alpaca --param q=howdy.npy
              gradctl shell < questions.sql
            """)

    @OptionGroup var globals: GlobalOptions
    @OptionGroup var device: DeviceOptions

    @Argument(help: "The table that is meant where a statement has no FROM.") var table: String?

    @Option(
        name: .customLong("param"),
        help: ArgumentHelp("What $name stands for.", valueName: "name=value"))
    var parameters: [String] = []

    func run() throws {
        let options = try queryOptions(globals, parameters)
        let database = try globals.openDatabase()
        if let table { _ = try database.table(table) }
        let shell = Shell(
            globals, table: table, parameters: options.parameters, device: try device.use())
        let status = try shell.run()
        try Console.flush()
        if status != 0 { throw ExitCode(status) }
    }
}
