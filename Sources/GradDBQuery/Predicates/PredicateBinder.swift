// From the syntax tree of a condition to a predicate over typed columns.
//
// 1. Every name is looked up; an unknown one is refused with the nearest name that exists.
// 2. The types of both sides of each comparison are checked against each other; the side that does
//    not fit is the one that the error points at (PredicateBinder+Checks.swift).
// 3. Comparisons of a column with constants become tests in the column's own type, BETWEEN becomes
//    two comparisons and IN one membership test, so that few kinds of loops serve them all.
// 4. What NULL and constants decide alone is decided here.

import GradDB

struct PredicateBinder {
    private static let maximumPatternBytes = 4096

    let source: SourceText
    /// In the order in which errors list them.
    let names: [String]
    let types: [String: FieldType]

    /// What can stand on either side of a comparison.
    enum Operand {
        case column(String, FieldType)
        case literal(Literal)
    }

    /// A condition: something that is true, false or unknown of a row.
    func condition(_ expression: Expression) throws(QueryError) -> PredicateNode {
        switch expression.node {
        case .not(let operand): return .negation(of: try condition(operand))
        case .and(let operands): return .conjunction(of: try conditions(operands))
        case .or(let operands): return .disjunction(of: try conditions(operands))
        case .comparison(let comparison, let left, let right):
            let (leftOperand, rightOperand) = (try operand(left), try operand(right))
            try check(leftOperand, at: left, comparison, rightOperand, at: right)
            return compare(leftOperand, comparison, rightOperand)
        case .membership(let operand, let items, let isNegated):
            return try membership(of: operand, in: items).negated(if: isNegated)
        case .between(let operand, let lower, let upper, let isNegated):
            return try between(operand, lower, upper).negated(if: isNegated)
        case .like(let operand, let pattern, let escape, let isNegated):
            return try like(operand, pattern, escape).negated(if: isNegated)
        case .isNull(let operand, let isNegated):
            return try nullTest(of: operand).negated(if: isNegated)
        case .column, .literal: return try bareCondition(expression)
        }
    }

    private func conditions(_ operands: [Expression]) throws(QueryError) -> [PredicateNode] {
        var nodes: [PredicateNode] = []
        for operand in operands { nodes.append(try condition(operand)) }
        return nodes
    }

    /// A column or literal that is a condition by itself.
    private func bareCondition(_ expression: Expression) throws(QueryError) -> PredicateNode {
        switch try operand(expression) {
        case .column(let name, .bool): return .bool(column: name)
        case .literal(.bool(let value)): return .constant(Truth(value))
        case .literal(.null): return .constant(.unknown)
        case let other:
            throw source.error(
                "\(wording(of: other)) is not a condition", at: expression.range,
                expected: "a comparison or a bool column")
        }
    }

    // MARK: Comparisons

    private func compare(
        _ left: Operand, _ comparison: ComparisonOperator, _ right: Operand
    ) -> PredicateNode {
        switch (left, right) {
        case (.column(let left, _), .column(let right, _)):
            .comparison(comparison, left: left, right: right)
        case (.column(let name, let type), .literal(let constant)):
            test(name, type, comparison, constant)
        case (.literal(let constant), .column(let name, let type)):
            test(name, type, comparison.mirrored, constant)
        case (.literal(let left), .literal(let right)):
            .constant(left.order(to: right).map { Truth(comparison.holds(for: $0)) } ?? .unknown)
        }
    }

    /// A column against a constant of a type that fits it.
    private func test(
        _ name: String, _ type: FieldType, _ comparison: ComparisonOperator, _ constant: Literal
    ) -> PredicateNode {
        if comparison == .notEqual { return .negation(of: test(name, type, .equal, constant)) }
        return switch (type, constant) {
        case (.int, .int(let value)): .intInterval(column: name, .init(comparison, value))
        case (.int, .float(let value)): .intInterval(column: name, .init(comparison, value))
        case (.float, .int(let value)): .floatInterval(column: name, .init(comparison, value))
        case (.float, .float(let value)): .floatInterval(column: name, .init(comparison, value))
        case (.string, .string(let value)): .string(column: name, .comparison(comparison, value))
        case (.bool, .bool(let value)): PredicateNode.bool(column: name).negated(if: !value)
        default: .constant(.unknown)  // NULL: the check has refused every other pair
        }
    }

    /// `x BETWEEN a AND b` is `x >= a AND x <= b`.
    private func between(
        _ expression: Expression, _ lower: Expression, _ upper: Expression
    ) throws(QueryError) -> PredicateNode {
        let value = try operand(expression)
        let (low, high) = (try operand(lower), try operand(upper))
        try check(value, at: expression, .greaterOrEqual, low, at: lower)
        try check(value, at: expression, .lessOrEqual, high, at: upper)
        let fromLow = compare(value, .greaterOrEqual, low)
        let toHigh = compare(value, .lessOrEqual, high)
        return switch (fromLow, toHigh) {
        case (.intInterval(let name, let low), .intInterval(let other, let high))
        where name == other:
            .intInterval(column: name, low.intersection(high))
        case (.floatInterval(let name, let low), .floatInterval(let other, let high))
        where name == other:
            .floatInterval(column: name, low.intersection(high))
        default: .conjunction(of: [fromLow, toHigh])
        }
    }

    // MARK: IN, LIKE and IS NULL

    /// `x IN (a, b)` is `x = a OR x = b`; the constants together are one test.
    private func membership(
        of expression: Expression, in items: [Expression]
    ) throws(QueryError) -> PredicateNode {
        let value = try operand(expression)
        var constants: [Literal] = []
        var nodes: [PredicateNode] = []
        for item in items {
            let itemOperand = try operand(item)
            try check(value, at: expression, .equal, itemOperand, at: item)
            switch (value, itemOperand) {
            case (.column(_, .int), .literal(let constant)),
                (.column(_, .float), .literal(let constant)),
                (.column(_, .string), .literal(let constant)):
                constants.append(constant)
            default: nodes.append(compare(value, .equal, itemOperand))
            }
        }
        if case .column(let name, let type) = value, !constants.isEmpty {
            nodes.append(membership(of: name, type, in: constants))
            if constants.contains(.null) { nodes.append(.constant(.unknown)) }
        }
        return .disjunction(of: nodes)
    }

    /// Constants that the column's type cannot hold equal none of its values and are left out.
    private func membership(
        of name: String, _ type: FieldType, in constants: [Literal]
    ) -> PredicateNode {
        switch type {
        case .int:
            return .intMembership(column: name, constants.compactMap(\.exactInt).sorted())
        case .float:
            return .floatMembership(column: name, constants.compactMap(\.exactFloat).sorted())
        case .string, .bool:
            let strings = constants.compactMap {
                if case .string(let value) = $0 { value } else { nil }
            }
            return .string(
                column: name,
                .membership(strings.sorted { StringOrder.compare($0, $1) < 0 }))
        }
    }

    private func like(
        _ expression: Expression, _ pattern: Located<String>, _ escape: Located<String>?
    ) throws(QueryError) -> PredicateNode {
        let value = try operand(expression)
        // Matching takes the product of both lengths at worst.
        guard pattern.value.utf8.count <= Self.maximumPatternBytes else {
            throw source.error(
                "this pattern is too long", at: pattern.range,
                expected: "at most \(Self.maximumPatternBytes) bytes")
        }
        guard let compiled = LikePattern(pattern.value, escape: escape?.value.unicodeScalars.first)
        else {
            throw source.error(
                "the escape character escapes nothing", at: pattern.range,
                expected: "%, _ or the escape character itself behind it")
        }
        switch value {
        case .column(let name, .string): return .string(column: name, .like(compiled))
        case .literal(.string(let text)): return .constant(Truth(compiled.matches(text)))
        case .literal(.null): return .constant(.unknown)
        case .column, .literal:
            throw source.error(
                "LIKE cannot match \(wording(of: value))", at: expression.range,
                expected: "a string column")
        }
    }

    private func nullTest(of expression: Expression) throws(QueryError) -> PredicateNode {
        switch try operand(expression) {
        case .column(let name, _): .isNull(column: name)
        case .literal(let literal): .constant(Truth(literal == .null))
        }
    }
}
