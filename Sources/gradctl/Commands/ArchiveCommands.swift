// One snapshot of a table in one file: export and import.

import ArgumentParser
import GradDB

#if canImport(Glibc)
    import Glibc
#endif

struct ExportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Write one snapshot of a table to one file.",
        discussion: """
            The archive has the schema, the rows and the vectors, byte for byte; `gradctl import` \
            makes a table of it in any database. Rows that are deleted in the snapshot are not in it.

            Examples:
              gradctl export alpaca --out alpaca.gdba
              gradctl export alpaca at final --out alpaca.gdba
              gradctl export alpaca --out - | ssh elsewhere gradctl import - --db db
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name, and perhaps AT and a snapshot.") var words: [String]

    @Option(help: "A snapshot's number, a tag, or a time (default: the newest).") var at: String?

    @Option(help: "The file, or - for standard output.") var out: String

    private var isStream: Bool { out == "-" }

    func validate() throws {
        guard words.count == 1 || (words.count == 3 && words[1].lowercased() == "at") else {
            throw ValidationError("give a table, or a table, AT and a snapshot.")
        }
        guard words.count == 1 || at == nil else {
            throw ValidationError("the snapshot is given twice.")
        }
        guard !isStream || !globals.json else {
            throw ValidationError("--json needs standard output, which --out - gives the archive.")
        }
    }

    func run() throws {
        let started = ContinuousClock.now
        let table = try globals.openDatabase().table(words[0])
        let name = at ?? (words.count == 3 ? words[2] : nil)
        let view = try name.map { try table.view(named: $0) } ?? table.newest
        let file = isStream ? nil : try OutputFile(out)
        let written = WrittenBytes()
        let result = try StageBar.showing(globals) { bar, cancellation in
            try Archive.export(
                view, threads: globals.threadCount, cancellation: cancellation,
                to: { bytes in
                    written.count += UInt64(bytes.count)
                    try file?.write(bytes) ?? Console.writeOutput(bytes)
                },
                progress: { bar.update("exporting", share: $0) })
        }
        try file?.finish()
        let seconds = (ContinuousClock.now - started).seconds
        if globals.json {
            try Console.print(
                JSONObject([
                    ("output", .string(out)), ("table", .string(table.name)),
                    ("snapshot", .int(Int64(result.snapshot))), ("rows", .int(Int64(result.rows))),
                    ("vectors", .int(Int64(result.vectors))), ("bytes", .int(Int64(written.count))),
                    ("hash", .string(result.hash)), ("seconds", .float(seconds)),
                ]).text)
        } else if !isStream, !globals.quiet {
            try Console.print(
                "\(out): snapshot \(result.snapshot) of \(table.name), "
                    + "\(Int(result.rows).grouped) rows, \(Units.bytes(written.count)) in "
                    + Units.seconds(seconds))
        }
    }
}

/// How much has been written.
private final class WrittenBytes {
    var count: UInt64 = 0
}

struct ImportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import", abstract: "Make a table of an archive.",
        discussion: """
            Examples:
              gradctl import alpaca.gdba
              gradctl import alpaca.gdba --as alpaca-copy
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The archive, or - for standard input.") var archive: String

    @Option(name: .customLong("as"), help: "The new table's name (default: the archive's).")
    var name: String?

    @Option(
        name: [.short, .long], parsing: .unconditional,
        help: "A message for the snapshot (default: the archive's).")
    var message = ""

    func run() throws {
        let cancellation = Interruption.watch()
        let input = try InputFile(archive)
        let writer = try DatabaseWriter(path: try globals.databasePath())
        let result = try StageBar.showing(globals) { bar, _ in
            try writer.importArchive(
                input.name, as: name, message: message, threads: globals.threadCount,
                cancellation: cancellation, source: { try input.read(into: $0) },
                progress: { bar.update("importing", share: $0) })
        }
        if globals.json {
            try Console.print(
                JSONObject([
                    ("table", .string(result.table)), ("snapshot", .int(Int64(result.snapshot))),
                    ("rows", .int(Int64(result.rows))), ("vectors", .int(Int64(result.vectors))),
                    ("checkpoints", .int(Int64(result.checkpoints))),
                    ("bytes", .int(Int64(result.bytes))), ("hash", .string(result.hash)),
                    ("seconds", .float(result.seconds)),
                ]).text)
        } else if !globals.quiet {
            try Console.print(
                "made the table \(result.table): \(Int(result.rows).grouped) rows, "
                    + "\(Units.bytes(result.bytes)) in \(Units.seconds(result.seconds))")
        }
    }
}

/// A file, or standard input, read front to back.
private final class InputFile {
    let name: String
    private let descriptor: Int32

    init(_ path: String) throws {
        guard path != "-" else {
            name = "standard input"
            descriptor = STDIN_FILENO
            return
        }
        name = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw GradDBError(
                .badInput, "cannot open \(path): \(String(cString: strerror(errno)))")
        }
    }

    deinit { if descriptor > STDIN_FILENO { close(descriptor) } }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        while true {
            let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
            if count > 0 { return count }
            let code = errno
            // Who interrupts ends standard input, too.
            try Interruption.cancellation.check()
            if count == 0 { return 0 }
            guard code == EINTR else {
                throw GradDBError(
                    .badInput, "cannot read \(name): \(String(cString: strerror(code)))")
            }
        }
    }
}
