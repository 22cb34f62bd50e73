// Random conditions over random columns, against an evaluator that looks at one row at a time and
// does what the specification says, literally.

import GradDB
import GradDBQuery
import Testing

@Suite struct PredicatePropertyTests {
    private static let schema = [
        Field(name: "i", type: .int), Field(name: "j", type: .int), Field(name: "f", type: .float),
        Field(name: "g", type: .float), Field(name: "b", type: .bool),
        Field(name: "c", type: .bool), Field(name: "s", type: .string),
        Field(name: "t", type: .string),
    ]

    @Test func `evaluation by columns is evaluation by rows`() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("random predicates: seed \(seed)")
        var conditions = RandomCondition(random: LanguageRandom(seed: seed))
        for _ in 0..<300 {
            let rowCount = conditions.random.below(40)
            var rows = [[String: FieldValue]](repeating: [:], count: rowCount)
            var batch = PredicateBatch()
            for field in Self.schema {
                for row in 0..<rowCount { rows[row][field.name] = conditions.value(of: field.type) }
                batch.add(field.name, field.type, rows.map { $0[field.name] })
            }
            for _ in 0..<10 {
                let condition = conditions.condition(depth: conditions.random.below(5))
                let expected = rows.indices.filter {
                    NaiveEvaluator(row: rows[$0]).truth(of: condition) == true
                }
                let found = try batch.rows(where: condition.description)
                #expect(found == expected, "seed \(seed): \(condition)")
            }
        }
    }
}

/// Conditions whose types fit, over few values, so that equality and NULL come up often.
private struct RandomCondition {
    var random: LanguageRandom

    private static let ints: [Int64] = [0, 1, -1, 2, 1 << 53, 1 << 53 + 1, .max, .min]
    private static let floats = [0, -0.0, 1, 0.5, -1, 0x1p53, 0x1p63, -0x1p63, 1e300]
    private static let strings = ["", "a", "A", "ab", "b", "é", "e\u{301}", "%", "a_", "日本"]

    mutating func value(of type: FieldType) -> FieldValue? {
        if random.chance(4) { return nil }
        return switch type {
        case .int: .int(random.pick(Self.ints))
        case .float: .float(random.pick(Self.floats))
        case .bool: .bool(random.chance(2))
        case .string: .string(random.pick(Self.strings))
        }
    }

    private func expression(_ node: Expression.Node) -> Expression {
        Expression(node, RandomSyntax.nowhere)
    }

    private enum Kind: CaseIterable {
        case number, bool, string
    }

    private mutating func operand(_ kind: Kind) -> Expression {
        if random.chance(12) { return expression(.literal(.null)) }
        let isColumn = random.chance(2)
        let node: Expression.Node =
            switch kind {
            case .number where isColumn: .column(random.pick(["i", "j", "f", "g"]))
            case .bool where isColumn: .column(random.pick(["b", "c"]))
            case .string where isColumn: .column(random.pick(["s", "t"]))
            case .number:
                .literal(
                    random.chance(2)
                        ? .int(random.pick(Self.ints)) : .float(random.pick(Self.floats)))
            case .bool: .literal(.bool(random.chance(2)))
            case .string: .literal(.string(random.pick(Self.strings)))
            }
        return expression(node)
    }

    mutating func condition(depth: Int) -> Expression {
        if depth > 0, random.chance(2) {
            let count = 2 + random.below(3)
            let isAnd = random.chance(2)
            if random.chance(3) { return expression(.not(condition(depth: depth - 1))) }
            let operands = (0..<count).map { _ in condition(depth: depth - 1) }
            return expression(isAnd ? .and(operands) : .or(operands))
        }
        let kind = random.pick(Kind.allCases)
        let isNegated = random.chance(2)
        switch random.below(7) {
        case 0:
            let items = (0...random.below(4)).map { _ in operand(kind) }
            return expression(.membership(operand(kind), items, isNegated: isNegated))
        case 1 where kind != .bool:
            return expression(
                .between(
                    operand(kind), lower: operand(kind), upper: operand(kind),
                    isNegated: isNegated))
        case 2:
            let pattern = (0..<random.below(4)).map { _ in
                random.pick(["a", "b", "é", "%", "_", "!%", "!_", "!!"])
            }.joined()
            return expression(
                .like(
                    operand(.string), pattern: Located(pattern, RandomSyntax.nowhere),
                    escape: Located("!", RandomSyntax.nowhere), isNegated: isNegated))
        case 3: return expression(.isNull(operand(kind), isNegated: isNegated))
        case 4: return operand(.bool)
        default:
            let comparisons = ComparisonOperator.allCases.filter { kind != .bool || !$0.isOrdering }
            return expression(.comparison(random.pick(comparisons), operand(kind), operand(kind)))
        }
    }
}

/// One row, one node at a time; nil is unknown.
private struct NaiveEvaluator {
    let row: [String: FieldValue]

    func truth(of condition: Expression) -> Bool? {
        switch condition.node {
        case .not(let operand): return truth(of: operand).map { !$0 }
        case .and(let operands): return all(operands.map { truth(of: $0) })
        case .or(let operands): return all(operands.map { truth(of: $0).map { !$0 } }).map { !$0 }
        case .comparison(let comparison, let left, let right):
            return compare(left, comparison, right)
        case .membership(let operand, let items, let isNegated):
            let unequal = items.map { compare(operand, .equal, $0).map { !$0 } }
            return all(unequal).map { !$0 != isNegated }
        case .between(let operand, let lower, let upper, let isNegated):
            return all([
                compare(operand, .greaterOrEqual, lower), compare(operand, .lessOrEqual, upper),
            ]).map { $0 != isNegated }
        case .like(let operand, let pattern, _, let isNegated):
            guard case .string(let text) = value(operand) else { return nil }
            return like(Array(pattern.value.unicodeScalars)[...], Array(text.unicodeScalars)[...])
                != isNegated
        case .isNull(let operand, let isNegated): return (value(operand) == nil) != isNegated
        case .column, .literal:
            guard case .bool(let value) = value(condition) else { return nil }
            return value
        }
    }

    private func all(_ truths: [Bool?]) -> Bool? {
        if truths.contains(false) { return false }
        return truths.contains(nil) ? nil : true
    }

    private func value(_ operand: Expression) -> FieldValue? {
        switch operand.node {
        case .column(let name): row[name]
        case .literal(.int(let value)): .int(value)
        case .literal(.float(let value)): .float(value)
        case .literal(.bool(let value)): .bool(value)
        case .literal(.string(let value)): .string(value)
        default: nil
        }
    }

    private func compare(
        _ left: Expression, _ comparison: ComparisonOperator, _ right: Expression
    ) -> Bool? {
        guard let left = value(left), let right = value(right) else { return nil }
        let (isLess, isEqual) = (precedes(left, right), equals(left, right))
        return switch comparison {
        case .equal: isEqual
        case .notEqual: !isEqual
        case .less: isLess
        case .lessOrEqual: isLess || isEqual
        case .greater: !isLess && !isEqual
        case .greaterOrEqual: !isLess
        }
    }

    private func equals(_ left: FieldValue, _ right: FieldValue) -> Bool {
        switch (left, right) {
        case (.string(let left), .string(let right)): left.utf8.elementsEqual(right.utf8)
        case (.bool(let left), .bool(let right)): left == right
        default: halves(left) == halves(right)
        }
    }

    private func precedes(_ left: FieldValue, _ right: FieldValue) -> Bool {
        switch (left, right) {
        case (.string(let left), .string(let right)):
            left.utf8.lexicographicallyPrecedes(right.utf8)
        default: halves(left) < halves(right)
        }
    }

    /// A number as a count of halves, exact for every integer and for the floats of this test.
    private func halves(_ value: FieldValue) -> Int128 {
        switch value {
        case .int(let value): Int128(value) * 2
        case .float(let value): Int128(max(-0x1p100, min(0x1p100, value)) * 2)
        case .string, .bool: 0
        }
    }

    private func like(
        _ pattern: ArraySlice<Unicode.Scalar>, _ text: ArraySlice<Unicode.Scalar>
    ) -> Bool {
        guard var first = pattern.first else { return text.isEmpty }
        var rest = pattern.dropFirst()
        if first == "%" { return (0...text.count).contains { like(rest, text.dropFirst($0)) } }
        let isEscaped = first == "!"
        if isEscaped {
            first = rest.removeFirst()
        }
        guard let scalar = text.first, first == scalar || (first == "_" && !isEscaped) else {
            return false
        }
        return like(rest, text.dropFirst())
    }
}
