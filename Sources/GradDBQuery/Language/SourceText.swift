// The text of a statement or script as UTF-8 bytes, and the way from an offset to a line and a
// column. Positions are worked out only when an error needs one, so parsing pays nothing for them.

package struct SourceText: Sendable {
    /// Well-formed UTF-8: it comes from a `String`.
    package let bytes: [UInt8]

    package init(_ text: String) {
        bytes = Array(text.utf8)
    }

    package subscript(range: SourceRange) -> String {
        String(decoding: bytes[range.start..<range.end], as: UTF8.self)
    }

    /// The line and column of an offset, both counted from 1; a column is one Unicode scalar.
    package func position(of offset: Int) -> (line: Int, column: Int) {
        let before = bytes[..<offset]
        let line = before.reduce(1) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
        let column = bytes[lineBounds(around: offset).lowerBound..<offset]
            .reduce(1) { UTF8.isContinuation($1) ? $0 : $0 + 1 }
        return (line, column)
    }

    /// The line that holds an offset, without its line feed or carriage return.
    package func lineBounds(around offset: Int) -> Range<Int> {
        let newline = UInt8(ascii: "\n")
        let start = bytes[..<offset].lastIndex(of: newline).map { $0 + 1 } ?? 0
        var end = bytes[offset...].firstIndex(of: newline) ?? bytes.count
        // An offset behind the carriage return of a CRLF still belongs to this line.
        if end > offset, bytes[end - 1] == UInt8(ascii: "\r") { end -= 1 }
        return start..<end
    }

    /// An error that points into this text.
    package func error(
        _ message: String, at range: SourceRange, expected: String, hint: String? = nil
    ) -> QueryError {
        QueryError(source: self, range: range, message: message, expected: expected, hint: hint)
    }
}
