// Every failure that a caller can meet, in one type: what happened, where, and what to do next.
// The kinds are the process exit codes of gradctl and the exception classes of the bindings.

/// A failure of the engine, with a message meant for a person.
public struct GradDBError: Error, Sendable, CustomStringConvertible {
    /// What class of failure this is; the raw value is gradctl's exit code.
    public enum Kind: Int32, Sendable, CaseIterable {
        /// The operation failed for a reason that no other kind names.
        case failed = 1
        /// The database or the table does not exist.
        case notFound = 10
        /// Another process writes to this database.
        case locked = 11
        /// Stored bytes are not what was written.
        case corrupt = 12
        /// The database was written by a newer format than this program reads.
        case formatTooNew = 13
        /// Wrong arguments, query syntax, or an unknown name in a query.
        case usage = 64
        /// Input data is malformed, missing or unreadable.
        case badInput = 65
        /// The operating system refused to read or write; no space.
        case io = 74
        /// Stopped by the user.
        case interrupted = 130

        /// The name used in JSON output and in the bindings' exception classes.
        public var name: String {
            switch self {
            case .failed: "failed"
            case .notFound: "not_found"
            case .locked: "locked"
            case .corrupt: "corrupt"
            case .formatTooNew: "format_too_new"
            case .usage: "usage"
            case .badInput: "bad_input"
            case .io: "io"
            case .interrupted: "interrupted"
            }
        }
    }

    public let kind: Kind
    /// One sentence or a few: what is wrong, where, and what to do about it.
    public let message: String

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    public var description: String { message }

    package static func badInput(_ message: String) -> GradDBError { .init(.badInput, message) }
    package static func corrupt(_ message: String) -> GradDBError { .init(.corrupt, message) }
    package static func usage(_ message: String) -> GradDBError { .init(.usage, message) }
}
