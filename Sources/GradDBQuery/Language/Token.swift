// What the lexer makes of the text: a kind with its value, and where it stood.

package struct Token: Equatable, Sendable {
    package enum Kind: Equatable, Sendable {
        /// An unquoted name or keyword, as written.
        case word(String)
        /// A name in double quotes, without them.
        case quotedName(String)
        /// A string in single quotes, without them.
        case string(String)
        /// The magnitude; the sign is a symbol of its own, so that the parser sees `-2^63` whole.
        case integer(UInt64)
        /// A finite number that was written with a fraction or an exponent.
        case float(Double)
        case duration(seconds: Double)
        /// `$name`, without the dollar sign.
        case parameter(String)
        case symbol(Symbol)
        /// The end of the text; it stands just behind the last token.
        case end
    }

    package enum Symbol: String, Sendable {
        case equal = "="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case leftParenthesis = "("
        case rightParenthesis = ")"
        case comma = ","
        case dot = "."
        case star = "*"
        case plus = "+"
        case minus = "-"
        case slash = "/"
        case percent = "%"
        case semicolon = ";"
    }

    package let kind: Kind
    package let range: SourceRange
    /// Which keyword an unquoted word is, if any.
    package let keyword: Keyword?

    package init(_ kind: Kind, _ range: SourceRange) {
        self.kind = kind
        self.range = range
        keyword = if case .word(let word) = kind { Keyword(word: word) } else { nil }
    }

    /// How an error names this token.
    package var wording: String {
        switch kind {
        case .word(let word): "'\(SourceExcerpt.quotable(word))'"
        case .quotedName(let name): "the name \"\(SourceExcerpt.quotable(name))\""
        case .string(let string): "the string '\(SourceExcerpt.quotable(string))'"
        case .integer(let magnitude): "the number \(magnitude)"
        case .float(let value): "the number \(value)"
        case .duration: "a duration"
        case .parameter(let name): "the parameter $\(SourceExcerpt.quotable(name))"
        case .symbol(let symbol): "'\(symbol.rawValue)'"
        case .end: "end of the statement"
        }
    }
}
