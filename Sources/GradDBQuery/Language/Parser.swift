// Recursive descent over one token of lookahead; conditions by binding power.
//
//   Parser.swift               the state, the small steps, and the errors they make
//   Parser+Statement.swift     EXPLAIN, SELECT, FROM, AT, SCORE: the part with a fixed order
//   Parser+Clauses.swift       the clauses after SCORE, in any order
//   Parser+Expression.swift    conditions
//   Parser+Operand.swift       what conditions are about: arithmetic, functions, columns, values
//   Parser+Refusals.swift      what to say of words that are misplaced
//
// Nothing here knows a table. Work and memory are linear in the statement's length, which is
// bounded, and recursion is bounded by `maximumDepth`.

package struct Parser {
    /// A longer statement is refused before it is read.
    package static let maximumStatementBytes = 1 << 20
    /// A longer script is refused before it is read.
    package static let maximumScriptBytes = 64 << 20
    /// How deeply parentheses, functions, signs and NOT may nest.
    package static let maximumDepth = 200

    let source: SourceText
    let defaultTable: String?
    private var lexer: Lexer
    /// The token to be read next.
    private(set) var current: Token
    /// Where the token before it ended.
    private(set) var lastEnd: Int
    var depth = 0
    /// Where the statement being read began, for the limit on its length.
    private var statementStart = 0

    package init(_ source: SourceText, defaultTable: String? = nil) throws(QueryError) {
        self.source = source
        self.defaultTable = defaultTable
        lexer = Lexer(source)
        current = try lexer.next()
        lastEnd = current.range.start
    }

    /// Marks the current token as the first of a statement.
    mutating func beginStatement() {
        statementStart = current.range.start
    }

    // MARK: Steps

    @discardableResult
    mutating func advance() throws(QueryError) -> Token {
        let token = current
        lastEnd = token.range.end
        guard lastEnd - statementStart <= Self.maximumStatementBytes else {
            throw Self.tooLong(source, at: SourceRange(statementStart, statementStart))
        }
        current = try lexer.next()
        return token
    }

    mutating func accept(_ symbol: Token.Symbol) throws(QueryError) -> Token? {
        current.kind == .symbol(symbol) ? try advance() : nil
    }

    mutating func accept(_ keyword: Keyword) throws(QueryError) -> Token? {
        current.keyword == keyword ? try advance() : nil
    }

    @discardableResult
    mutating func expect(
        _ symbol: Token.Symbol, _ expected: String, hint: String? = nil
    ) throws(QueryError) -> Token {
        guard let token = try accept(symbol) else { throw unexpected(expected, hint: hint) }
        return token
    }

    @discardableResult
    mutating func expect(
        _ keyword: Keyword, _ expected: String, hint: String? = nil
    ) throws(QueryError) -> Token {
        guard let token = try accept(keyword) else {
            throw unexpected(expected, hint: hint, near: [keyword])
        }
        return token
    }

    /// A name: quoted, or a word that is not reserved.
    mutating func expectName(_ expected: String, hint: String? = nil) throws(QueryError)
        -> Located<String>
    {
        switch current.kind {
        case .quotedName(let name): return Located(name, try advance().range)
        case .word(let name) where current.keyword?.isReserved != true:
            return Located(name, try advance().range)
        case .word(let name):
            throw unexpected(
                expected,
                hint: hint ?? "'\(name)' is a reserved word; as a name it is written \"\(name)\"")
        default: throw unexpected(expected, hint: hint)
        }
    }

    mutating func expectString(_ expected: String, hint: String? = nil) throws(QueryError)
        -> Located<String>
    {
        switch current.kind {
        case .string(let value): return Located(value, try advance().range)
        case .quotedName, .word:
            throw unexpected(
                expected, hint: hint ?? "a string stands between single quotes: '…'")
        default: throw unexpected(expected, hint: hint)
        }
    }

    /// A number with an optional sign, or nil when none stands here.
    mutating func acceptNumber() throws(QueryError) -> Located<SignedNumber>? {
        let start = current.range
        let minus = try accept(.minus) != nil
        let plus = try accept(.plus) != nil
        let value: SignedNumber
        switch current.kind {
        case .integer(let magnitude):
            value = .int(try signed(magnitude, isNegative: minus, from: start))
        case .float(let magnitude): value = .float(minus ? -magnitude : magnitude)
        default:
            if minus || plus { throw unexpected("a number behind the sign") }
            return nil
        }
        return Located(value, start.through(try advance().range))
    }

    func signed(
        _ magnitude: UInt64, isNegative: Bool, from start: SourceRange
    ) throws(QueryError) -> Int64 {
        if let value = Int64(exactly: magnitude) { return isNegative ? -value : value }
        if isNegative, magnitude == Int64.min.magnitude { return .min }
        throw source.error(
            "this number is too large", at: start.through(current.range),
            expected: "an integer from \(Int64.min) to \(Int64.max)",
            hint: "with a decimal point it is read as a float")
    }

    // MARK: Errors

    /// The current token is not what the grammar wants here.
    func unexpected(
        _ expected: String, hint: String? = nil, near keywords: [Keyword] = []
    ) -> QueryError {
        var hint = hint
        let isOneOfThem = current.keyword.map(keywords.contains) ?? false
        if hint == nil, !isOneOfThem, case .word(let word) = current.kind {
            hint = NearestName.hint(for: word, among: keywords.map(\.spelling))
        }
        let isEnd = current.kind == .end || current.kind == .symbol(.semicolon)
        return source.error(
            isEnd ? "the statement ends here" : "unexpected \(current.wording)", at: current.range,
            expected: expected, hint: hint)
    }

    /// "line 3, column 5", or without the line when it is that of the current token.
    func place(of range: SourceRange) -> String {
        let there = source.position(of: range.start)
        let here = source.position(of: current.range.start)
        return (there.line == here.line ? "" : "line \(there.line), ") + "column \(there.column)"
    }

    static func tooLong(_ source: SourceText, at range: SourceRange) -> QueryError {
        source.error(
            "this statement is longer than \(maximumStatementBytes) bytes", at: range,
            expected: "a shorter one",
            hint: "long lists of values belong in a field of the rows, or in a file")
    }
}
