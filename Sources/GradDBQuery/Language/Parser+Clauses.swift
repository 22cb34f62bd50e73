// The clauses after SCORE: in any order, each at most once.

extension Parser {
    mutating func trailingClauses(of statement: inout Statement) throws(QueryError) {
        var seen: [Keyword: SourceRange] = [:]
        while let keyword = current.keyword, Self.trailingKeywords.contains(keyword) {
            if let first = seen[keyword] {
                throw source.error(
                    "a second \(keyword == .group ? "GROUP BY" : keyword.spelling)",
                    at: current.range,
                    expected: "each clause once",
                    hint: "the first one is at \(place(of: first))")
            }
            seen[keyword] = current.range
            try clause(keyword, of: &statement)
        }
        if let all = seen[.all], let end = [Keyword.top, .bottom].first(where: { seen[$0] != nil })
        {
            throw source.error(
                "ALL beside \(end.spelling)", at: all, expected: "one of them",
                hint: "ALL is every row, the highest score first")
        }
        try expectEnd(afterCondition: endsWithCondition(statement))
    }

    static let trailingKeywords: [Keyword] = [
        .layers, .across, .precondition, .where, .group, .top, .bottom, .all, .exact, .confidence,
        .budget,
    ]

    private func endsWithCondition(_ statement: Statement) -> Bool {
        if statement.filter?.range.end == lastEnd { return true }
        if case .rows(let condition)? = statement.querySource?.value {
            return condition.range.end == lastEnd
        }
        return false
    }

    private mutating func clause(
        _ keyword: Keyword, of statement: inout Statement
    ) throws(QueryError) {
        let word = try advance()
        switch keyword {
        case .layers: statement.layers = try layerGlobs()
        case .across: statement.checkpoints = try checkpointSelection()
        case .precondition:
            statement.preconditioner = try expectName("the name of a preconditioner")
        case .where: statement.filter = try expression()
        case .group: statement.grouping = try grouping()
        case .top: statement.top = try rowLimit(keyword)
        case .bottom: statement.bottom = try rowLimit(keyword)
        case .all: statement.isAll = true
        default:
            let accuracy = try accuracy(keyword, word.range)
            if let first = statement.accuracy {
                throw source.error(
                    "\(keyword.spelling) beside \(first.value)", at: word.range,
                    expected: "one of EXACT, CONFIDENCE and BUDGET")
            }
            statement.accuracy = accuracy
        }
    }

    // MARK: GROUP BY

    private mutating func grouping() throws(QueryError) -> Grouping {
        try expect(.by, "BY and the name of a column")
        let column = try expectName("the name of a column, or example")
        try expect(
            .with, "WITH sum, mean, max, min or count", hint: "GROUP BY source WITH mean")
        guard let reduction = current.keyword.flatMap({ GroupReduction(rawValue: $0.rawValue) })
        else {
            throw unexpected(
                "sum, mean, max, min or count", near: [.sum, .mean, .max, .min, .count])
        }
        return Grouping(column: column, reduction: Located(reduction, try advance().range))
    }

    // MARK: EXACT, CONFIDENCE and BUDGET

    private mutating func accuracy(
        _ keyword: Keyword, _ word: SourceRange
    ) throws(QueryError) -> Located<Accuracy> {
        switch keyword {
        case .confidence: return try confidence(word)
        case .budget: return try budget(word)
        default: return Located(.exact, word)
        }
    }

    private mutating func confidence(_ word: SourceRange) throws(QueryError) -> Located<Accuracy> {
        let expected = "a probability between 0 and 1, neither of them"
        let hint = "CONFIDENCE 0.999; an answer that is certain is EXACT"
        guard let number = try acceptNumber() else { throw unexpected(expected, hint: hint) }
        let probability = number.value.double
        guard probability > 0, probability < 1 else {
            throw source.error(
                "CONFIDENCE \(number.value.literal) is no probability of an answer that may be "
                    + "wrong", at: number.range, expected: expected, hint: hint)
        }
        return Located(.confidence(probability), word.through(number.range))
    }

    private mutating func budget(_ word: SourceRange) throws(QueryError) -> Located<Accuracy> {
        let expected = "a duration such as 200ms or 1.5s, with its unit (us, ms, s, m, h)"
        guard case .duration(let seconds) = current.kind else { throw unexpected(expected) }
        let range = try advance().range
        guard seconds > 0 else {
            throw source.error("there is no time in this budget", at: range, expected: expected)
        }
        return Located(.budget(seconds: seconds), word.through(range))
    }

    private mutating func layerGlobs() throws(QueryError) -> [Located<String>] {
        let expected = "a pattern over layer names, in single quotes"
        var globs = [try expectString(expected)]
        while try accept(.comma) != nil { globs.append(try expectString(expected)) }
        return globs
    }

    // MARK: ACROSS

    private mutating func checkpointSelection() throws(QueryError) -> CheckpointSelection {
        if try accept(.all) != nil {
            guard current.keyword != .weight else {
                throw unexpected(
                    "no weights behind ALL", hint: "ACROSS ALL uses the stored weights")
            }
            return .all
        }
        var listed: [WeightedCheckpoint] = []
        var names: Set<String> = []
        repeat {
            let checkpoint = try weightedCheckpoint(isFirst: listed.isEmpty)
            guard names.insert(checkpoint.name.value).inserted else {
                throw source.error(
                    "this checkpoint is named twice", at: checkpoint.name.range,
                    expected: "each checkpoint once, with the whole of its weight")
            }
            listed.append(checkpoint)
        } while try accept(.comma) != nil
        return .listed(listed)
    }

    private mutating func weightedCheckpoint(isFirst: Bool) throws(QueryError)
        -> WeightedCheckpoint
    {
        let name = try expectString(
            "the name of a checkpoint in single quotes" + (isFirst ? ", or ALL" : ""))
        guard try accept(.weight) != nil else {
            return WeightedCheckpoint(name: name, weight: nil)
        }
        guard let number = try acceptNumber() else { throw unexpected("a number") }
        return WeightedCheckpoint(name: name, weight: Located(number.value.double, number.range))
    }

    // MARK: TOP and BOTTOM

    private mutating func rowLimit(_ keyword: Keyword) throws(QueryError) -> Located<RowLimit> {
        let clause = keyword.spelling
        let expected = "a whole number of rows, at least 1, or a percentage"
        if current.keyword == .all {
            throw unexpected(expected, hint: "every row is ALL, without \(clause)")
        }
        // A plus sign is not in the grammar; of a minus sign there is more to say.
        let isSigned = current.kind == .symbol(.plus)
        guard !isSigned, let number = try acceptNumber() else { throw unexpected(expected) }
        if let percent = try accept(.percent) {
            let share = number.value.double
            let range = number.range.through(percent.range)
            guard share > 0, share <= 100 else {
                throw source.error(
                    "\(clause) \(number.value.literal)% is no share of the rows", at: range,
                    expected: "a percentage above 0 and at most 100")
            }
            return Located(.percent(share), range)
        }
        guard case .int(let count) = number.value, count >= 1 else {
            throw source.error(
                "\(clause) \(number.value.literal) is no number of rows", at: number.range,
                expected: expected)
        }
        return Located(.rows(Int(count)), number.range)
    }

    // MARK: The end

    private func expectEnd(afterCondition: Bool) throws(QueryError) {
        if current.kind == .end || current.kind == .symbol(.semicolon) { return }
        if let keyword = current.keyword, keyword.isClauseWord { throw refusal(of: keyword) }
        let clauses = Self.trailingKeywords.map(\.spelling).joined(separator: ", ")
        let rest = "another clause (\(clauses)) or the end of the statement"
        if afterCondition { throw unexpectedBehindCondition(rest) }
        throw unexpected(rest, hint: hintForForeignWord(), near: Self.trailingKeywords)
    }
}
