// Conditions, by binding power (Pratt): read an operand, then go on with every operator that binds
// at least as tightly as the caller asks. A new operator is a case of `BindingPower`, a line in
// `infixPower` and the function that builds its node.
//
// AND and OR are read as a chain of any length into one node; comparisons do not repeat. What repeats
// inside itself, as NOT does, counts as depth, or trees would grow deeper than the limit.

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
            default: left = try predicate(on: left)
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

    // MARK: NOT and depth

    private mutating func prefix(atLeast minimum: BindingPower) throws(QueryError) -> Expression {
        guard current.keyword == .not, minimum <= .not else { return try operand() }
        let not = try advance()
        let operand = try nested(in: not) { parser throws(QueryError) in
            try parser.expression(atLeast: .not)
        }
        return Expression(.not(operand), not.range.through(operand.range))
    }

    /// What stands behind a NOT, a sign or an opening parenthesis: the only way to go deeper.
    mutating func nested(
        in opening: Token,
        _ inner: (inout Parser) throws(QueryError) -> Expression
    ) throws(QueryError) -> Expression {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.maximumDepth else {
            throw source.error(
                "this condition is nested too deeply", at: opening.range,
                expected:
                    "at most \(Self.maximumDepth) levels of parentheses, functions, signs and NOT")
        }
        return try inner(&self)
    }

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
            node = .comparison(comparison, left, try operand())
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
            let lower = try self.operand()
            try expect(.and, "AND and the upper bound")
            let upper = try self.operand()
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
        var items = [try operand()]
        while try accept(.comma) != nil { items.append(try operand()) }
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
}
