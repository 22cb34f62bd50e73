// Text to tokens, one at a time and on demand: the parser holds a single token, so memory does not
// grow with the statement, and an error stops the work where it is.
//
// The bytes are well-formed UTF-8. Everything with a meaning is ASCII, except letters in names and
// white space, for which the Unicode properties of the scalar decide.

package struct Lexer: Sendable {
    package let source: SourceText
    private var offset = 0
    /// Where the last token ended; the end of the text is reported here, not behind blank lines.
    private var lastEnd = 0

    package init(_ source: SourceText) {
        self.source = source
    }

    /// The next token; at the end of the text the end token, as often as it is asked for.
    package mutating func next() throws(QueryError) -> Token {
        try skipBlanksAndComments()
        guard let first = byte() else { return Token(.end, SourceRange(lastEnd, lastEnd)) }
        let token: Token
        switch first {
        case UInt8(ascii: "'"): token = try quoted(by: first, as: "string") { .string($0) }
        case UInt8(ascii: "\""): token = try quotedName()
        case UInt8(ascii: "$"): token = try parameter()
        case UInt8(ascii: "0")...UInt8(ascii: "9"): token = try number()
        case UInt8(ascii: ".") where isDigit(byte(1)): token = try number()
        default:
            if let word = word() { token = word } else { token = try symbol() }
        }
        lastEnd = offset
        return token
    }

    // MARK: Blanks

    private mutating func skipBlanksAndComments() throws(QueryError) {
        while let byte = byte() {
            if byte == UInt8(ascii: "-"), self.byte(1) == byte {
                while let next = self.byte(), next != UInt8(ascii: "\n") { offset += 1 }
            } else if byte == UInt8(ascii: "/"), self.byte(1) == UInt8(ascii: "*") {
                try skipBlockComment()
            } else if isBlank() {
                offset += scalarLength()
            } else {
                return
            }
        }
    }

    private mutating func skipBlockComment() throws(QueryError) {
        let start = offset
        offset += 2
        while byte() != UInt8(ascii: "*") || byte(1) != UInt8(ascii: "/") {
            guard byte() != nil else {
                throw source.error(
                    "this comment is not closed", at: SourceRange(start, start + 2),
                    expected: "*/ at its end")
            }
            offset += 1
        }
        offset += 2
    }

    // MARK: Quoted text, parameters and words

    private mutating func quoted(
        by quote: UInt8, as what: String, _ kind: (String) -> Token.Kind
    ) throws(QueryError) -> Token {
        let start = offset
        var content: [UInt8] = []
        offset += 1
        while let byte = byte() {
            offset += 1
            if byte == quote {
                guard self.byte() == quote else {
                    return Token(
                        kind(String(decoding: content, as: UTF8.self)), SourceRange(start, offset))
                }
                offset += 1  // the quote written twice is one quote
            }
            content.append(byte)
        }
        throw source.error(
            "this \(what) is not closed", at: SourceRange(start, start + 1),
            expected: "a closing \(Character(Unicode.Scalar(quote)))")
    }

    private mutating func quotedName() throws(QueryError) -> Token {
        let token = try quoted(by: UInt8(ascii: "\""), as: "quoted name") { .quotedName($0) }
        guard token.kind != .quotedName("") else {
            throw source.error(
                "an empty name", at: token.range, expected: "a name between the double quotes",
                hint: "a string stands between single quotes: ''")
        }
        return token
    }

    private mutating func parameter() throws(QueryError) -> Token {
        let start = offset
        offset += 1
        guard let name = takeWord() else {
            throw source.error(
                "a lone '$'", at: SourceRange(start, offset), expected: "a parameter such as $q")
        }
        return Token(.parameter(name), SourceRange(start, offset))
    }

    private mutating func word() -> Token? {
        let start = offset
        return takeWord().map { Token(.word($0), SourceRange(start, offset)) }
    }

    private mutating func takeWord() -> String? {
        let start = offset
        guard let first = scalar(), first == "_" || first.properties.isXIDStart else { return nil }
        while let scalar = scalar(), scalar.properties.isXIDContinue { offset += scalarLength() }
        return source[SourceRange(start, offset)]
    }

    // MARK: Numbers

    /// `12`, `1.5`, `.5`, `2e-5`, and a duration when a unit follows at once: `200ms`.
    private mutating func number() throws(QueryError) -> Token {
        let start = offset
        var isFloat = false
        skipDigits()
        if byte() == UInt8(ascii: "."), isDigit(byte(1)) {
            isFloat = true
            offset += 1
            skipDigits()
        }
        if let byte = byte(), byte | 32 == UInt8(ascii: "e") {
            let sign = self.byte(1) == UInt8(ascii: "+") || self.byte(1) == UInt8(ascii: "-")
            if isDigit(self.byte(sign ? 2 : 1)) {
                isFloat = true
                offset += sign ? 3 : 2
                skipDigits()
            }
        }
        let digits = SourceRange(start, offset)
        if let suffix = takeWord() { return try duration(digits, suffix: suffix) }
        let range = SourceRange(start, offset)
        guard isFloat else { return Token(.integer(try magnitude(digits)), range) }
        return Token(.float(try double(digits)), range)
    }

    private func duration(_ digits: SourceRange, suffix: String) throws(QueryError) -> Token {
        let range = SourceRange(digits.start, offset)
        guard let seconds = Self.secondsPerUnit[suffix] else {
            throw source.error(
                "the number runs into '\(SourceExcerpt.quotable(suffix))'", at: range,
                expected: "a number such as 12, 0.5 or 2e-5, or a duration such as 200ms",
                hint: "a name that starts with a digit needs double quotes")
        }
        let total = try double(digits) * seconds
        guard total.isFinite else { throw tooLarge(digits) }
        return Token(.duration(seconds: total), range)
    }

    private static let secondsPerUnit = ["us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600]

    private func magnitude(_ digits: SourceRange) throws(QueryError) -> UInt64 {
        guard let value = UInt64(source[digits]) else { throw tooLarge(digits) }
        return value
    }

    private func double(_ digits: SourceRange) throws(QueryError) -> Double {
        let text = source[digits]
        // The standard library wants a digit before the point.
        guard let value = Double(text.hasPrefix(".") ? "0" + text : text), value.isFinite else {
            throw tooLarge(digits)
        }
        return value
    }

    private func tooLarge(_ digits: SourceRange) -> QueryError {
        source.error(
            "this number is too large", at: digits,
            expected: "a 64-bit integer or a finite 64-bit float")
    }

    private mutating func skipDigits() {
        while isDigit(byte()) { offset += 1 }
    }

    // MARK: Symbols

    private mutating func symbol() throws(QueryError) -> Token {
        let start = offset
        for length in [2, 1] where start + length <= source.bytes.count {
            let range = SourceRange(start, start + length)
            // Strings that look alike are equal to Swift: U+037E would pass for a semicolon.
            guard source.bytes[start..<range.end].allSatisfy({ $0 < 0x80 }) else { continue }
            if let symbol = Self.symbols[source[range]] {
                offset = range.end
                return Token(.symbol(symbol), range)
            }
        }
        throw unknownCharacter()
    }

    private static let symbols: [String: Token.Symbol] = [
        "==": .equal, "<>": .notEqual, "!=": .notEqual, "<=": .lessOrEqual, ">=": .greaterOrEqual,
        "=": .equal, "<": .less, ">": .greater, "(": .leftParenthesis, ")": .rightParenthesis,
        ",": .comma, ".": .dot, "*": .star, "+": .plus, "-": .minus, "/": .slash, "%": .percent,
        ";": .semicolon,
    ]

    private func unknownCharacter() -> QueryError {
        let range = SourceRange(offset, offset + scalarLength())
        let hint: String? =
            switch scalar() {
            case "!": "not equal is != or <>, and not is NOT"
            case "&": "and is AND"
            case "|": "or is OR"
            case "`", "\u{201C}", "\u{201D}": "a name is quoted with straight double quotes: \""
            case "\u{2018}", "\u{2019}", "\u{B4}": "a string is quoted with straight quotes: '"
            default: nil
            }
        return source.error(
            "the character '\(SourceExcerpt.quotable(source[range]))' has no meaning here",
            at: range, expected: "a keyword, a name, a value or an operator", hint: hint)
    }

    // MARK: Bytes and scalars

    private func byte(_ ahead: Int = 0) -> UInt8? {
        offset + ahead < source.bytes.count ? source.bytes[offset + ahead] : nil
    }

    private func isDigit(_ byte: UInt8?) -> Bool {
        byte.map { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ?? false
    }

    private func isBlank() -> Bool {
        guard let scalar = scalar() else { return false }
        let isByteOrderMark = scalar == "\u{FEFF}" && offset == 0
        return scalar.properties.isWhitespace || isByteOrderMark
    }

    private func scalar() -> Unicode.Scalar? {
        guard let first = byte() else { return nil }
        if first < 0x80 { return Unicode.Scalar(first) }
        return source[SourceRange(offset, offset + scalarLength())].unicodeScalars.first
    }

    /// The bytes of the scalar at the offset, which its first byte tells.
    private func scalarLength() -> Int {
        switch byte() ?? 0 {
        case 0xF0...: 4
        case 0xE0...: 3
        case 0xC0...: 2
        default: 1
        }
    }
}
