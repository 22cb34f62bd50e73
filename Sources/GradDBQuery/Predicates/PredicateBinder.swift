// From the syntax tree of a condition to a predicate over typed columns.
//
// 1. Every name is looked up; an unknown one is refused with the nearest name that exists.
// 2. Columns, functions and arithmetic get their types (PredicateBinder+Operands.swift); a parameter
//    is read as what stands beside it (PredicateBinder+Parameters.swift).
// 3. The types of both sides of each comparison are checked against each other; the side that does
//    not fit is the one that the error points at (PredicateBinder+Checks.swift).
// 4. Comparisons of a value with constants become tests in the value's own type, BETWEEN becomes
//    two comparisons and IN one membership test, so that few kinds of loops serve them all.
// 5. What NULL and constants decide alone is decided here.

import GradDB

struct PredicateBinder {
    private static let maximumPatternBytes = 4096

    let source: SourceText
    /// In the order in which errors list them.
    let names: [String]
    let types: [String: FieldType]
    /// What the caller binds to `$name`, as text.
    let parameters: [String: String]

    /// A condition: something that is true, false or unknown of a row.
    func condition(_ expression: Expression) throws(QueryError) -> PredicateNode {
        switch expression.node {
        case .not(let operand): return .negation(of: try condition(operand))
        case .and(let operands): return .conjunction(of: try conditions(operands))
        case .or(let operands): return .disjunction(of: try conditions(operands))
        case .comparison(let comparison, let left, let right):
            let kind = naturalKind(of: [left, right])
            let leftOperand = try operand(left, wanted: kind)
            let rightOperand = try operand(right, wanted: kind)
            try check(leftOperand, comparison, rightOperand)
            return compare(leftOperand, comparison, rightOperand)
        case .membership(let operand, let items, let isNegated):
            return try membership(of: operand, in: items).negated(if: isNegated)
        case .between(let operand, let lower, let upper, let isNegated):
            return try between(operand, lower, upper).negated(if: isNegated)
        case .like(let operand, let pattern, let escape, let isNegated):
            return try like(operand, pattern, escape).negated(if: isNegated)
        case .isNull(let operand, let isNegated):
            return try nullTest(of: operand).negated(if: isNegated)
        case .column, .literal, .parameter, .sign, .arithmetic, .call:
            return try bareCondition(expression)
        }
    }

    private func conditions(_ operands: [Expression]) throws(QueryError) -> [PredicateNode] {
        var nodes: [PredicateNode] = []
        for operand in operands { nodes.append(try condition(operand)) }
        return nodes
    }

    /// A bool that is a condition by itself.
    private func bareCondition(_ expression: Expression) throws(QueryError) -> PredicateNode {
        let value = try operand(expression, wanted: .bool)
        switch (value.type, value.node) {
        case (nil, _), (.bool, .constant(.null)): return .constant(.unknown)
        case (.bool, .constant(let literal)): return .constant(Truth(literal == .bool(true)))
        case (.bool, let node): return .bool(node)
        default:
            throw source.error(
                "\(value.wording) is not a condition", at: value.range,
                expected: "a comparison or a bool column")
        }
    }

    // MARK: Comparisons

    private func compare(
        _ left: Operand, _ comparison: ComparisonOperator, _ right: Operand
    ) -> PredicateNode {
        switch (left.node, right.node) {
        case (.constant(let left), .constant(let right)):
            .constant(left.order(to: right).map { Truth(comparison.holds(for: $0)) } ?? .unknown)
        case (let node, .constant(let constant)): test(node, left.type, comparison, constant)
        case (.constant(let constant), let node):
            test(node, right.type, comparison.mirrored, constant)
        case (let left, let right): .comparison(comparison, left, right)
        }
    }

    /// A value against a constant of a type that fits it.
    private func test(
        _ node: ValueNode, _ type: FieldType?, _ comparison: ComparisonOperator,
        _ constant: Literal
    ) -> PredicateNode {
        if comparison == .notEqual { return .negation(of: test(node, type, .equal, constant)) }
        return switch (type, constant) {
        case (.int, .int(let value)): .intInterval(node, .init(comparison, value))
        case (.int, .float(let value)): .intInterval(node, .init(comparison, value))
        case (.float, .int(let value)): .floatInterval(node, .init(comparison, value))
        case (.float, .float(let value)): .floatInterval(node, .init(comparison, value))
        case (.string, .string(let value)): .string(node, .comparison(comparison, value))
        case (.bool, .bool(let value)): PredicateNode.bool(node).negated(if: !value)
        default: .constant(.unknown)  // NULL: the check has refused every other pair
        }
    }

    /// `x BETWEEN a AND b` is `x >= a AND x <= b`.
    private func between(
        _ expression: Expression, _ lower: Expression, _ upper: Expression
    ) throws(QueryError) -> PredicateNode {
        let kind = naturalKind(of: [expression, lower, upper])
        let value = try operand(expression, wanted: kind)
        let low = try operand(lower, wanted: kind)
        let high = try operand(upper, wanted: kind)
        try check(value, .greaterOrEqual, low)
        try check(value, .lessOrEqual, high)
        let fromLow = compare(value, .greaterOrEqual, low)
        let toHigh = compare(value, .lessOrEqual, high)
        return switch (fromLow, toHigh) {
        // Tests of one value with constants: of a constant value there is no test.
        case (.intInterval(let node, let low), .intInterval(_, let high))
        where value.node.constant == nil:
            .intInterval(node, low.intersection(high))
        case (.floatInterval(let node, let low), .floatInterval(_, let high))
        where value.node.constant == nil:
            .floatInterval(node, low.intersection(high))
        default: .conjunction(of: [fromLow, toHigh])
        }
    }

    // MARK: IN, LIKE and IS NULL

    /// `x IN (a, b)` is `x = a OR x = b`; the constants together are one test, and so are the rest.
    private func membership(
        of expression: Expression, in items: [Expression]
    ) throws(QueryError) -> PredicateNode {
        let kind = naturalKind(of: CollectionOfOne(expression)) ?? naturalKind(of: items)
        let value = try operand(expression, wanted: kind)
        var constants: [Literal] = []
        var others: [ValueNode] = []
        var nodes: [PredicateNode] = []
        for item in items {
            let item = try operand(item, wanted: kind)
            try check(value, .equal, item)
            switch (value.node, item.node) {
            case (.constant, _): nodes.append(compare(value, .equal, item))
            case (_, .constant(let constant)): constants.append(constant)
            case (_, let node): others.append(node)
            }
        }
        if let type = value.type, !constants.isEmpty {
            nodes.append(membership(of: value.node, type, in: constants))
            if constants.contains(.null) { nodes.append(.constant(.unknown)) }
        }
        if !others.isEmpty { nodes.append(.membership(value.node, others)) }
        return .disjunction(of: nodes)
    }

    /// Constants that the value's type cannot hold equal none of its values and are left out.
    private func membership(
        of node: ValueNode, _ type: FieldType, in constants: [Literal]
    ) -> PredicateNode {
        switch type {
        case .int: return .intMembership(node, constants.compactMap(\.exactInt).sorted())
        case .float: return .floatMembership(node, constants.compactMap(\.exactFloat).sorted())
        case .string:
            let strings = constants.compactMap {
                if case .string(let value) = $0 { value } else { nil }
            }
            return .string(
                node, .membership(strings.sorted { StringOrder.compare($0, $1) < 0 }))
        case .bool:
            let tests = [true, false].filter { constants.contains(.bool($0)) }
            return .disjunction(of: tests.map { test(node, type, .equal, .bool($0)) })
        }
    }

    private func like(
        _ expression: Expression, _ pattern: Located<String>, _ escape: Located<String>?
    ) throws(QueryError) -> PredicateNode {
        let value = try operand(expression, wanted: .string)
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
        guard value.kind ?? .string == .string else {
            throw source.error(
                "LIKE cannot match \(value.wording)", at: value.range, expected: "a string column")
        }
        return switch value.node {
        case .constant(.string(let text)): .constant(Truth(compiled.matches(text)))
        case .constant: .constant(.unknown)
        default: .string(value.node, .like(compiled))
        }
    }

    private func nullTest(of expression: Expression) throws(QueryError) -> PredicateNode {
        let value = try operand(expression, wanted: nil)
        return switch value.node {
        case .constant(let literal): .constant(Truth(literal == .null))
        case let node: .isNull(node)
        }
    }
}
