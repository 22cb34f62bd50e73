// Where a statement ends that is typed line by line.

extension Statement {
    /// What a text holds of its first statement.
    package enum Beginning: Equatable, Sendable {
        /// White space and comments.
        case empty
        /// More must follow: there is no semicolon yet, or only in a string or comment.
        case incomplete
        /// Up to this offset in UTF-8, behind the semicolon.
        case complete(end: Int)
    }

    /// How far the first statement of a text reaches. A text that is no statement ends at its
    /// semicolon, too: what is wrong with it is for the parser to say.
    ///
    /// Takes time proportional to the text.
    package static func beginning(of text: String) -> Beginning {
        let source = SourceText(text)
        var lexer = Lexer(source)
        var isEmpty = true
        while true {
            do throws(QueryError) {
                let token = try lexer.next()
                switch token.kind {
                case .end: return isEmpty ? .empty : .incomplete
                case .symbol(.semicolon): return .complete(end: token.range.end)
                default: isEmpty = false
                }
            } catch {
                // A quote or comment that is not closed may be closed on the next line.
                let opening = source.bytes[error.range.start..<error.range.end]
                let isOpen =
                    opening.elementsEqual("'".utf8) || opening.elementsEqual("\"".utf8)
                    || opening.elementsEqual("/*".utf8)
                guard !isOpen else { return .incomplete }
                let rest = source.bytes[error.range.start...]
                guard let end = rest.firstIndex(of: UInt8(ascii: ";")) else { return .incomplete }
                return .complete(end: end + 1)
            }
        }
    }
}
