// What conditions are about: sums of products of signed columns, values, parameters, functions and
// parentheses. Sums and products are read as chains of any length into one node each.

extension Parser {
    /// A sum of terms: what stands on either side of a comparison.
    mutating func operand() throws(QueryError) -> Expression {
        let first = try term()
        var steps: [Expression.ArithmeticStep] = []
        while let operation = current.arithmeticOperator, !operation.isProduct {
            try advance()
            steps.append(.init(operation, try term()))
        }
        return chain(first, steps)
    }

    private mutating func term() throws(QueryError) -> Expression {
        let first = try factor()
        var steps: [Expression.ArithmeticStep] = []
        while let operation = current.arithmeticOperator, operation.isProduct {
            try advance()
            steps.append(.init(operation, try factor()))
        }
        return chain(first, steps)
    }

    private func chain(
        _ first: Expression, _ steps: [Expression.ArithmeticStep]
    ) -> Expression {
        guard !steps.isEmpty else { return first }
        return Expression(.arithmetic(first, steps), SourceRange(first.range.start, lastEnd))
    }

    /// A sign and a number are one value, so that the least integer can be written.
    private mutating func factor() throws(QueryError) -> Expression {
        guard let operation = current.arithmeticOperator, !operation.isProduct else {
            return try primary()
        }
        let sign = try advance()
        let isNegative = operation == .subtract
        if let number = try number(behind: sign.range, isNegative: isNegative) { return number }
        let operand = try nested(in: sign) { parser throws(QueryError) in try parser.factor() }
        return Expression(
            .sign(isNegative: isNegative, operand), sign.range.through(operand.range))
    }

    private mutating func number(
        behind sign: SourceRange, isNegative: Bool
    ) throws(QueryError) -> Expression? {
        let literal: Literal
        switch current.kind {
        case .integer(let magnitude):
            literal = .int(try signed(magnitude, isNegative: isNegative, from: sign))
        case .float(let magnitude): literal = .float(isNegative ? -magnitude : magnitude)
        default: return nil
        }
        return Expression(.literal(literal), sign.through(try advance().range))
    }

    // MARK: Primaries

    private mutating func primary() throws(QueryError) -> Expression {
        if current.kind == .symbol(.leftParenthesis) { return try parenthesised() }
        let start = SourceRange(current.range.start, current.range.start)
        if let number = try number(behind: start, isNegative: false) { return number }
        switch current.kind {
        case .string(let value): return Expression(.literal(.string(value)), try advance().range)
        case .parameter(let name): return Expression(.parameter(name), try advance().range)
        default: break
        }
        switch current.keyword {
        case .true: return Expression(.literal(.bool(true)), try advance().range)
        case .false: return Expression(.literal(.bool(false)), try advance().range)
        case .null: return Expression(.literal(.null), try advance().range)
        default: break
        }
        let isWord = if case .word = current.kind { true } else { false }
        let name = try expectName("a column or a value")
        if isWord, current.kind == .symbol(.leftParenthesis) { return try call(name) }
        return Expression(.column(name.value), name.range)
    }

    private mutating func parenthesised() throws(QueryError) -> Expression {
        let start = try advance()
        let inner = try nested(in: start) { parser throws(QueryError) in try parser.expression() }
        let end = try closing(start, or: "")
        return Expression(inner.node, start.range.through(end.range))
    }

    /// The arguments of a function whose name has been read.
    private mutating func call(_ name: Located<String>) throws(QueryError) -> Expression {
        let start = try advance()
        var arguments: [Expression] = []
        repeat {
            arguments.append(
                try nested(in: start) { parser throws(QueryError) in try parser.operand() })
        } while try accept(.comma) != nil
        let end = try closing(start, or: "',' or ")
        let lowered = Keyword.lowered(name.value)
        return Expression(
            .call(Located(lowered, name.range), arguments), name.range.through(end.range))
    }

    private mutating func closing(_ start: Token, or other: String) throws(QueryError) -> Token {
        guard let end = try accept(.rightParenthesis) else {
            throw unexpected(
                other + "')'", hint: "the '(' at \(place(of: start.range)) is not closed")
        }
        return end
    }
}
