// The one error of the query language: lexer, parser, binder and planner all refuse a statement
// with it, so every refusal has a place in the text and says what would have been right there.

import GradDB

/// A statement that cannot be run, with the place that is wrong and what was expected there.
public struct QueryError: Error, Sendable, CustomStringConvertible {
    /// The offending text, in UTF-8 offsets into the statement or script that was parsed.
    public let range: SourceRange
    /// The line of `range.start`, counted from 1.
    public let line: Int
    /// The column of `range.start` in Unicode scalars, counted from 1.
    public let column: Int
    /// What is wrong.
    public let message: String
    /// What would have been right at this place; reads on after "expected".
    public let expected: String
    /// A remedy, such as the nearest known name.
    public let hint: String?

    private let excerpt: SourceExcerpt

    package init(
        source: SourceText, range: SourceRange, message: String, expected: String, hint: String?
    ) {
        self.range = range
        // They may quote the statement, which must not send a terminal its escape sequences.
        self.message = SourceExcerpt.printable(message)
        self.expected = SourceExcerpt.printable(expected)
        self.hint = hint.map(SourceExcerpt.printable)
        (line, column) = source.position(of: range.start)
        excerpt = SourceExcerpt(of: range, in: source)
    }

    /// Position, message and expectation on one line; the text with carets; the hint.
    public var rendered: String {
        var lines = [
            "line \(line), column \(column): \(message); expected \(expected)",
            "  " + excerpt.line,
            "  " + excerpt.carets,
        ]
        if let hint { lines.append("hint: " + hint) }
        return lines.joined(separator: "\n")
    }

    public var description: String { rendered }
}

extension GradDBError {
    /// The error a caller of the engine sees for a statement that cannot be run.
    public init(_ error: QueryError) {
        self.init(.usage, error.rendered)
    }
}
