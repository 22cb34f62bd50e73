// The command line: parses arguments, runs one command, turns errors into messages and exit codes.
// The only part of GradDB that prints.

import ArgumentParser
import GradDB
import Logging

#if canImport(Glibc)
    import Glibc
#endif

struct Gradctl: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gradctl",
        abstract: "GradDB: which training data made the model say this?",
        discussion: """
            A database holds one compressed gradient vector per training example and model
            checkpoint, and answers attribution queries by exact dot-product scans.

            Quick start:
              gradctl init --db runs/db
              gradctl create alpaca --db runs/db --layer grad:65536:int8 \\
                --field source:string
              gradctl ingest alpaca gradients/ --db runs/db --checkpoint step-300 \\
                --metadata rows.jsonl
              gradctl query --db runs/db "SELECT id, source, score FROM alpaca \\
                SCORE cosine TO 'question.safetensors' TOP 10"

            Exit status: 0 done, 1 failed, 10 no such database or table, 11 locked,
            12 corrupt, 13 format too new, 64 usage, 65 bad input, 74 I/O error,
            130 interrupted.
            """,
        version: "gradctl \(GradDBVersion.current)",
        subcommands: [
            InitCommand.self, CreateCommand.self, ProjectCommand.self, IngestCommand.self,
            CommitCommand.self, StagedCommand.self, RecodeCommand.self, PreconditionCommand.self,
            QueryCommand.self,
            ExplainCommand.self, ShellCommand.self, InfoCommand.self, SnapshotsCommand.self,
            TagCommand.self, DiffCommand.self, RestoreCommand.self, DeleteCommand.self,
            CompactCommand.self, ExpireCommand.self, GarbageCommand.self, RepairCommand.self,
            SelectCommand.self, DuplicatesCommand.self, DriftCommand.self,
            BackupCommand.self, ExportCommand.self, ImportCommand.self,
            CheckCommand.self, BenchCommand.self, DevicesCommand.self,
        ])
}

extension Gradctl {
    static var commandNames: [String] {
        configuration.subcommands.compactMap { $0.configuration.commandName }
    }
}

@main
enum Main {
    /// RocksDB keeps every file of a database open; the usual soft limit of 1,024 is a large
    /// table's. The hard limit is what the system allows.
    private static func raiseFileLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    static func main() {
        let arguments = GlobalOptions.moveBehindCommand(Array(CommandLine.arguments.dropFirst()))
        raiseFileLimit()
        let options = arguments.prefix { $0 != "--" }
        let asJSON = options.contains("--json")
        let logLevel: Logger.Level = options.contains("--quiet") ? .error : .notice
        LoggingSystem.bootstrap { _ in NoteLogHandler(logLevel: logLevel) }
        do {
            var command = try Gradctl.parseAsRoot(arguments)
            try command.run()
            try Console.flush()
        } catch let error as GradDBError {
            Console.discardOutput()
            Console.report(error.message, kind: error.kind.name, exit: error.kind.rawValue, asJSON)
            exit(error.kind.rawValue)
        } catch let status as ExitCode {
            exit(status.rawValue)  // what went wrong has been said
        } catch {
            let code = Gradctl.exitCode(for: error).rawValue
            if code == 0 { Gradctl.exit(withError: error) }  // help, version, completions
            let command = arguments.first.map { Gradctl.commandNames.contains($0) ? " \($0)" : "" }
            guard code == GradDBError.Kind.usage.rawValue else {
                Console.report("\(error)", kind: "failed", exit: 1, asJSON)
                exit(1)
            }
            Console.report(
                "\(Gradctl.message(for: error)) (see `gradctl\(command ?? "") --help`)",
                kind: "usage", exit: code, asJSON)
            exit(code)
        }
    }
}
