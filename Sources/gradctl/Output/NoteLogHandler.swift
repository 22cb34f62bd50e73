// What the library logs, as notes for the user on standard error.

import Logging

struct NoteLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let word = event.level >= .warning ? "warning" : "note"
        Console.printError("gradctl: \(word): \(Console.printable("\(event.message)"))")
    }
}
