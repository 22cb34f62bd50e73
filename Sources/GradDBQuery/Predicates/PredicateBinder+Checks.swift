// Names and types: what may stand on either side of a comparison, and what to say when it may not.

import GradDB

extension PredicateBinder {
    func operand(_ expression: Expression) throws(QueryError) -> Operand {
        switch expression.node {
        case .literal(let literal): return .literal(literal)
        case .column(let name):
            guard let type = types[name] else { throw unknownColumn(name, at: expression.range) }
            return .column(name, type)
        default:
            throw source.error(
                "a condition stands where a value should", at: expression.range,
                expected: "a column or a value")
        }
    }

    private func unknownColumn(_ name: String, at range: SourceRange) -> QueryError {
        var hint = NearestName.hint(for: name, among: names.map(Spelling.name))
        if hint == nil, source.bytes[range.start] == UInt8(ascii: "\"") {
            hint = "double quotes name a column; a string stands between single quotes"
        }
        let listed = names.prefix(Self.maximumListedNames).map(Spelling.name)
            .joined(separator: ", ")
        let rest = names.count > Self.maximumListedNames ? ", …" : ""
        return source.error(
            "there is no column '\(SourceExcerpt.quotable(name))'", at: range,
            expected: "one of \(listed)\(rest)", hint: hint)
    }

    private static var maximumListedNames: Int { 12 }

    /// Refuses a comparison of values that have no order or equality between them.
    func check(
        _ left: Operand, at leftExpression: Expression, _ comparison: ComparisonOperator,
        _ right: Operand, at rightExpression: Expression
    ) throws(QueryError) {
        let (leftKind, rightKind) = (kind(of: left), kind(of: right))
        if let leftKind, let rightKind, leftKind != rightKind {
            // A column is what it is: of a column and a constant, the constant is the wrong one.
            var (wrong, wrongRange, other, wanted) =
                (right, rightExpression.range, left, leftKind)
            if case .literal = left, case .column = right {
                (wrong, wrongRange, other, wanted) =
                    (left, leftExpression.range, right, rightKind)
            }
            throw source.error(
                "\(wording(of: wrong)) cannot be compared with \(wording(of: other))",
                at: wrongRange, expected: wanted.rawValue)
        }
        guard comparison.isOrdering else { return }
        for (operand, expression) in [(left, leftExpression), (right, rightExpression)]
        where kind(of: operand) == .bool {
            throw source.error(
                "\(wording(of: operand)) has no order", at: expression.range,
                expected: "a number or a string; bools compare with = and != only")
        }
    }

    /// Values of one kind compare with each other; the raw value is how an error asks for one.
    private enum Kind: String {
        case number = "a number"
        case string = "a string"
        case bool = "TRUE, FALSE or a bool column"
    }

    /// Nil for NULL, which can stand everywhere.
    private func kind(of operand: Operand) -> Kind? {
        switch operand {
        case .column(_, .int), .column(_, .float), .literal(.int), .literal(.float): .number
        case .column(_, .string), .literal(.string): .string
        case .column(_, .bool), .literal(.bool): .bool
        case .literal(.null): nil
        }
    }

    func wording(of operand: Operand) -> String {
        switch operand {
        case .column(let name, let type):
            "the \(type.rawValue) column '\(SourceExcerpt.quotable(name))'"
        case .literal(.string(let value)): "the string '\(SourceExcerpt.quotable(value))'"
        case .literal(.int(let value)): "the number \(value)"
        case .literal(.float(let value)): "the number \(value)"
        case .literal(let literal): literal.description
        }
    }
}
