// Conditions, by binding power (Pratt): read an operand, then go on with every operator that binds
// at least as tightly as the caller asks. A new operator is a case of `BindingPower`, a line in
// `infixPower` and the function that builds its node.
//
// AND and OR are read as a chain of any length into one node; the other operators do not repeat.
// An operator that does must count its repetitions as depth, or trees grow deeper than the limit.

extension Parser {
    /// A condition: as much of the text as belongs to it.
    mutating func expression() throws(QueryError) -> Expression {
        try expression(atLeast: .or)
    }

    private mutating func expression(atLeast minimum: BindingPower) throws(QueryError)
        -> Expression
    {
        var left = try prefix(atLeast: minimum)
        while let power = infixPower, power >= minimum {
            switch power {
            case .or: left = try chain(from: left, by: .or, operands: .and) { .or($0) }
            case .and: left = try chain(from: left, by: .and, operands: .not) { .and($0) }
            case .not, .predicate, .operand: left = try predicate(on: left)
            }
        }
        return left
    }

    /// How tightly the current token binds what stands before it, if it is an operator.
    private var infixPower: BindingPower? {
        switch current.keyword {
        case .or: .or
        case .and: .and
        case .not, .in, .between, .like, .is: .predicate
        default: comparisonOperator == nil ? nil : .predicate
        }
    }

    private var comparisonOperator: ComparisonOperator? {
        switch current.kind {
        case .symbol(.equal): .equal
        case .symbol(.notEqual): .notEqual
        case .symbol(.less): .less
        case .symbol(.lessOrEqual): .lessOrEqual
        case .symbol(.greater): .greater
        case .symbol(.greaterOrEqual): .greaterOrEqual
        default: nil
        }
    }

    // MARK: Operands

    private mutating func prefix(atLeast minimum: BindingPower) throws(QueryError) -> Expression {
        if current.keyword == .not, minimum <= .not {
            let not = try advance()
            let operand = try nested(in: not, atLeast: .not)
            return Expression(.not(operand), not.range.through(operand.range))
        }
        let operand = try operand()
        switch current.kind {
        case .symbol(.plus), .symbol(.minus), .symbol(.star), .symbol(.slash), .symbol(.percent):
            throw arithmeticNotAvailable()
        default: return operand
        }
    }

    private mutating func operand() throws(QueryError) -> Expression {
        if let parenthesis = try accept(.leftParenthesis) {
            let inner = try nested(in: parenthesis, atLeast: .or)
            guard let end = try accept(.rightParenthesis) else {
                throw unexpected(
                    "')'", hint: "the '(' at \(place(of: parenthesis.range)) is not closed")
            }
            return Expression(inner.node, parenthesis.range.through(end.range))
        }
        switch current.kind {
        case .string(let value): return Expression(.literal(.string(value)), try advance().range)
        case .parameter:
            throw notAvailable(
                "a parameter in a condition", at: current.range,
                expected: Self.operandExpectation)
        default: break
        }
        switch current.keyword {
        case .true: return Expression(.literal(.bool(true)), try advance().range)
        case .false: return Expression(.literal(.bool(false)), try advance().range)
        case .null: return Expression(.literal(.null), try advance().range)
        default: break
        }
        if let number = try acceptNumber() {
            return Expression(.literal(number.value.literal), number.range)
        }
        let name = try expectName(Self.operandExpectation)
        if current.kind == .symbol(.leftParenthesis) { throw functionNotAvailable(name) }
        return Expression(.column(name.value), name.range)
    }

    /// What stands behind a NOT or an opening parenthesis: the only way to go deeper.
    private mutating func nested(
        in opening: Token, atLeast minimum: BindingPower
    ) throws(QueryError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw source.error(
                "this condition is nested too deeply", at: opening.range,
                expected: "at most \(Self.maximumDepth) levels of parentheses and NOT")
        }
        return try expression(atLeast: minimum)
    }

    private static let operandExpectation = "a column or a value"

    // MARK: AND and OR

    /// `first AND next AND …`, side by side.
    private mutating func chain(
        from first: Expression, by keyword: Keyword, operands power: BindingPower,
        _ node: ([Expression]) -> Expression.Node
    ) throws(QueryError) -> Expression {
        var operands = [first]
        while try accept(keyword) != nil { operands.append(try expression(atLeast: power)) }
        return Expression(node(operands), SourceRange(first.range.start, lastEnd))
    }

    // MARK: Predicates

    /// A comparison, IN, BETWEEN, LIKE or IS on `left`.
    private mutating func predicate(on left: Expression) throws(QueryError) -> Expression {
        let node: Expression.Node
        if let comparison = comparisonOperator {
            try advance()
            node = .comparison(comparison, left, try expression(atLeast: .operand))
        } else if try accept(.is) != nil {
            node = try nullTest(of: left)
        } else {
            node = try negatablePredicate(on: left)
        }
        if infixPower == .predicate {
            throw source.error(
                "comparisons do not chain", at: current.range,
                expected: "AND or OR between two comparisons",
                hint: "a range is written x BETWEEN low AND high")
        }
        return Expression(node, SourceRange(left.range.start, lastEnd))
    }

    private mutating func nullTest(of operand: Expression) throws(QueryError) -> Expression.Node {
        let isNegated = try accept(.not) != nil
        try expect(
            .null, isNegated ? "NULL" : "NULL or NOT NULL",
            hint: "whether a column is true is the column itself: flagged, NOT flagged")
        return .isNull(operand, isNegated: isNegated)
    }

    private mutating func negatablePredicate(on operand: Expression) throws(QueryError)
        -> Expression.Node
    {
        let isNegated = try accept(.not) != nil
        if try accept(.in) != nil {
            return .membership(operand, try items(), isNegated: isNegated)
        }
        if try accept(.between) != nil {
            let lower = try expression(atLeast: .operand)
            try expect(.and, "AND and the upper bound")
            let upper = try expression(atLeast: .operand)
            return .between(operand, lower: lower, upper: upper, isNegated: isNegated)
        }
        guard try accept(.like) != nil else {
            throw unexpected("IN, BETWEEN or LIKE", near: [.in, .between, .like])
        }
        let pattern = try expectString("a pattern in single quotes")
        let escape = try accept(.escape) == nil ? nil : try escapeCharacter()
        return .like(operand, pattern: pattern, escape: escape, isNegated: isNegated)
    }

    private mutating func items() throws(QueryError) -> [Expression] {
        let start = try expect(.leftParenthesis, "'(' and a list of values")
        var items = [try expression(atLeast: .operand)]
        while try accept(.comma) != nil { items.append(try expression(atLeast: .operand)) }
        try expect(
            .rightParenthesis, "',' or ')'",
            hint: "the '(' at \(place(of: start.range)) is not closed")
        return items
    }

    private mutating func escapeCharacter() throws(QueryError) -> Located<String> {
        let expected = "one character in single quotes"
        let escape = try expectString(expected)
        guard escape.value.unicodeScalars.count == 1, escape.value != "%", escape.value != "_"
        else {
            throw source.error(
                "\(Spelling.string(SourceExcerpt.quotable(escape.value))) cannot escape",
                at: escape.range, expected: expected + ", other than % and _")
        }
        return escape
    }

    // MARK: Errors

    /// A complete condition is followed by something that cannot follow one.
    func unexpectedBehindCondition(_ rest: String) -> QueryError {
        unexpected(
            "a comparison, AND, OR, " + rest, hint: hintForForeignWord(),
            near: [.and, .or, .not, .in, .between, .like, .is] + Self.trailingKeywords)
    }

    private func arithmeticNotAvailable() -> QueryError {
        notAvailable(
            "arithmetic", at: current.range, expected: "a comparison of columns and values")
    }
}
