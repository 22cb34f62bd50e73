// What the caller binds to `$name` in a condition is text; what stands beside it says how that is
// read.

extension PredicateBinder {
    /// The kind of the first of these expressions that has one by itself: not parameters and NULL.
    /// Names and types are not looked at further; that follows.
    func naturalKind(of expressions: some Sequence<Expression>) -> ValueKind? {
        for expression in expressions {
            if let kind = naturalKind(of: expression) { return kind }
        }
        return nil
    }

    private func naturalKind(of expression: Expression) -> ValueKind? {
        switch expression.node {
        case .column(let name): types[name].map { ValueKind($0) }
        case .literal(let literal): literal.type.map { ValueKind($0) }
        case .sign, .arithmetic: .number
        case .call(let name, let arguments):
            switch ValueFunction(rawValue: name.value) {
            case .coalesce?: naturalKind(of: arguments)
            case let function: function?.kind
            }
        default: nil
        }
    }

    /// The value of a parameter where this kind is wanted; a string where none is known.
    func parameter(
        _ name: String, as kind: ValueKind?, at range: SourceRange
    ) throws(QueryError) -> Literal {
        guard let text = parameters[name] else {
            throw source.error(
                "nothing is bound to $\(SourceExcerpt.quotable(name))", at: range,
                expected: "--param \(SourceExcerpt.quotable(name))=VALUE on the command line, or a "
                    + "value from a program",
                hint: NearestName.hint(for: name, among: parameters.keys.sorted()))
        }
        switch kind {
        case .string, nil: return .string(text)
        case .number: if let number = Self.number(text) { return number }
        case .bool:
            if let keyword = Keyword(word: text), keyword == .true || keyword == .false {
                return .bool(keyword == .true)
            }
        }
        throw source.error(
            "the parameter $\(SourceExcerpt.quotable(name)) is '\(SourceExcerpt.quotable(text))'",
            at: range, expected: kind == .bool ? "TRUE or FALSE" : "a number")
    }

    /// A number as a statement would hold it.
    private static func number(_ text: String) -> Literal? {
        guard text.utf8.count <= 1024, var parser = try? Parser(SourceText(text)),
            let number = try? parser.acceptNumber(),
            number.range == SourceRange(0, text.utf8.count)
        else { return nil }
        return number.value.literal
    }
}
