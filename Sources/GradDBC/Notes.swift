// What the engine logs, kept for whoever asks: a library does not print.

import GradDB
import Logging
import Synchronization

enum Notes {
    private static let most = 1000
    private static let kept = Mutex<[JSONValue]>([])
    private static let bootstrapped: Void = LoggingSystem.bootstrap { Handler(label: $0) }

    /// From now on, notes are kept.
    static func collect() { _ = bootstrapped }

    static func take() -> [JSONValue] {
        kept.withLock { notes in
            defer { notes = [] }
            return notes
        }
    }

    static func add(_ level: String, _ label: String, _ message: String) {
        let note = JSONValue.object(
            JSONObject([
                ("level", .string(level)), ("label", .string(label)), ("message", .string(message)),
            ]))
        kept.withLock { notes in
            if notes.count == most { notes.removeFirst() }
            notes.append(note)
        }
    }

    private struct Handler: LogHandler {
        let label: String
        var metadata: Logger.Metadata = [:]
        var logLevel: Logger.Level = .notice

        init(label: String) { self.label = label }

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { Notes.add("\(event.level)", label, "\(event.message)") }
    }
}
