// The part of a statement whose order is fixed: EXPLAIN, SELECT, FROM, AT, SCORE … TO.

extension Parser {
    mutating func statement() throws(QueryError) -> Statement {
        beginStatement()
        let start = current.range
        let explain = try explainClause()
        let isSelected = current.keyword == .select
        let selection = try selectClause()
        let table = try fromClause(isSelected: isSelected)
        let version = try versionClause()
        try expectScore(afterVersion: version != nil)
        let measure = try self.measure()
        var statement = Statement(
            explain: explain, selection: selection.items, table: table, measure: measure,
            querySource: nil, origin: .init(source: source, range: start))
        statement.isPerLayer = selection.isPerLayer
        statement.version = version
        if measure.value == .`self` {
            try refuseQueries(of: measure)
        } else {
            try expect(.to, "TO and the source of the queries", hint: Self.sourceHint)
            statement.querySource = try querySource()
            statement.reduction = try reduction()
        }
        try trailingClauses(of: &statement)
        statement.origin = .init(source: source, range: SourceRange(start.start, lastEnd))
        return statement
    }

    /// In a script: a semicolon where a statement might begin.
    mutating func acceptEmptyStatement() throws(QueryError) -> Bool {
        beginStatement()
        return try accept(.semicolon) != nil
    }

    // MARK: EXPLAIN and SELECT

    private mutating func explainClause() throws(QueryError) -> Statement.Explain? {
        guard try accept(.explain) != nil else { return nil }
        return try accept(.analyze) == nil ? .plan : .analyze
    }

    private mutating func selectClause() throws(QueryError) -> (
        items: [Located<SelectItem>], isPerLayer: Bool
    ) {
        guard try accept(.select) != nil else {
            return ([Located(.all, SourceRange(current.range.start, current.range.start))], false)
        }
        var items = [try selectItem()]
        while try accept(.comma) != nil { items.append(try selectItem()) }
        guard try accept(.per) != nil else { return (items, false) }
        try expect(.layer, "LAYER", hint: "PER LAYER gives a score for each layer")
        return (items, true)
    }

    private mutating func selectItem() throws(QueryError) -> Located<SelectItem> {
        if let star = try accept(.star) { return Located(.all, star.range) }
        let name = try expectName("* or the name of a column")
        if current.kind == .symbol(.leftParenthesis) { throw functionInSelect(name) }
        guard try accept(.as) != nil else {
            return Located(.column(name, alias: nil), name.range)
        }
        let alias = try expectName("a name for the column")
        return Located(.column(name, alias: alias), name.range.through(alias.range))
    }

    // MARK: FROM and AT

    private mutating func fromClause(isSelected: Bool) throws(QueryError) -> Located<String> {
        let before = current.range.start
        if try accept(.from) != nil {
            guard current.keyword != .score else {
                throw unexpected(
                    "the name of a table", hint: "a table called so is written \"score\"")
            }
            let table = try expectName("the name of a table")
            if current.kind == .symbol(.minus) || current.kind == .symbol(.dot) {
                throw unexpected(
                    "AT or SCORE",
                    hint: "a name with other characters than letters, digits and _ needs double "
                        + "quotes")
            }
            return table
        }
        if let defaultTable, current.keyword == .score || current.keyword == .at {
            return Located(defaultTable, SourceRange(before, before))
        }
        if let refusal = refusalBeforeScore() { throw refusal }
        var expected = isSelected ? "',' or FROM" : "SELECT or FROM"
        if defaultTable != nil { expected += " or SCORE" }
        throw unexpected(
            expected, hint: hintForForeignWord(), near: [.select, .from, .score, .explain])
    }

    private mutating func versionClause() throws(QueryError) -> Located<TableVersion>? {
        guard try accept(.at) != nil else { return nil }
        switch current.kind {
        case .string(let name): return Located(.named(name), try advance().range)
        case .integer(let number): return Located(.snapshot(number), try advance().range)
        default:
            throw unexpected(
                "a snapshot's number, or a tag or time in single quotes",
                hint: "AT 12, AT 'step-300' or AT '2026-01-31T12:00:00Z'")
        }
    }

    // MARK: SCORE

    private mutating func expectScore(afterVersion: Bool) throws(QueryError) {
        if try accept(.score) != nil { return }
        if let refusal = refusalBeforeScore() { throw refusal }
        throw unexpected(
            afterVersion ? "SCORE" : "AT or SCORE", hint: hintForForeignWord(),
            near: [.score, .at])
    }

    private mutating func measure() throws(QueryError) -> Located<Measure> {
        switch current.keyword {
        case .dot: return Located(.dot, try advance().range)
        case .cosine: return Located(.cosine, try advance().range)
        case .`self`: return Located(.`self`, try advance().range)
        default: throw unexpected("dot, cosine or self", near: [.dot, .cosine, .`self`])
        }
    }

    /// What a row is to itself has no queries, and so nothing to reduce.
    private func refuseQueries(of measure: Located<Measure>) throws(QueryError) {
        guard let keyword = current.keyword,
            [.to, .each, .mean, .sum, .max].contains(keyword)
        else { return }
        throw source.error(
            "\(keyword.spelling) behind self", at: current.range,
            expected: "another clause or the end of the statement",
            hint: "self scores each row against itself; other queries take dot or cosine")
    }

    private static let sourceHint =
        "TO 'file.safetensors', TO $name, TO ROW 'id' or TO ROWS WHERE condition"
    private static let sourceExpectation = "a file in single quotes, $name, ROW or ROWS WHERE"

    private mutating func querySource() throws(QueryError) -> Located<QuerySource> {
        switch current.kind {
        case .string(let path): return Located(.file(path), try advance().range)
        case .parameter(let name): return Located(.parameter(name), try advance().range)
        default: break
        }
        switch current.keyword {
        case .row:
            let row = try advance()
            let (id, range) = try rowIdentifier()
            return Located(.row(id), row.range.through(range))
        case .rows:
            let rows = try advance()
            try expect(.where, "WHERE and a condition", hint: "one row is ROW 'id'")
            let condition = try expression()
            return Located(.rows(condition), rows.range.through(condition.range))
        default:
            throw unexpected(Self.sourceExpectation, hint: Self.sourceHint)
        }
    }

    private mutating func rowIdentifier() throws(QueryError)
        -> (QuerySource.RowIdentifier, SourceRange)
    {
        let expected = "the id of a row: a string or an integer"
        if case .string(let id) = current.kind { return (.string(id), try advance().range) }
        let number = current
        switch try acceptNumber() {
        case .some(let id):
            guard case .int(let value) = id.value else {
                throw source.error(
                    "unexpected \(number.wording)", at: id.range, expected: expected)
            }
            return (.int(value), id.range)
        case nil:
            throw unexpected(expected)
        }
    }

    private mutating func reduction() throws(QueryError) -> QueryReduction {
        if try accept(.each) != nil { return .each }
        if try accept(.mean) != nil { return .mean }
        if try accept(.sum) != nil { return .sum }
        if try accept(.max) != nil { return .max }
        return .each
    }
}
