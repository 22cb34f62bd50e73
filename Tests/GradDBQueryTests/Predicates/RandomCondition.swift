// Conditions whose types fit, over few values, so that equality and NULL come up often.

import GradDB
import GradDBQuery

struct RandomCondition {
    var random: LanguageRandom

    private static let ints: [Int64] = [0, 1, -1, 2, 1 << 53, 1 << 53 + 1, .max, .min]
    private static let floats = [0, -0.0, 1, 0.5, -1, 0x1p53, 0x1p63, -0x1p63, 1e300]
    private static let strings = [
        "", "a", "A", "ab", "b", "é", "e\u{301}", "%", "a_", "日本", " b\u{A0}", "Straße", "Ab\tz",
    ]

    /// Bound to `$name`; each fits every kind of its first letter.
    static let parameters = [
        "n1": "1", "n2": "-0.5", "n3": "1e3", "b1": "TRUE", "b2": "false", "s1": "a",
    ]

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

    private enum Kind: CaseIterable, Equatable {
        case number, bool, string
    }

    private mutating func operand(_ kind: Kind) -> Expression {
        value(of: kind, depth: random.chance(2) ? 0 : 1 + random.below(3))
    }

    private mutating func value(of kind: Kind, depth: Int) -> Expression {
        guard depth > 0 else { return leaf(kind) }
        if random.chance(5) {
            let arguments = (0..<2 + random.below(3)).map { _ in value(of: kind, depth: depth - 1) }
            // One of them says what kind it is, whatever stands beside it.
            return call("coalesce", arguments + [anchor(kind)])
        }
        switch kind {
        case .number: return number(depth: depth)
        case .string: return string(depth: depth)
        case .bool: return leaf(kind)
        }
    }

    private mutating func number(depth: Int) -> Expression {
        func part(_ syntax: inout RandomCondition) -> Expression {
            syntax.value(of: .number, depth: depth - 1)
        }
        switch random.below(8) {
        case 0: return call("length", [value(of: .string, depth: depth - 1)])
        case 1: return call(random.pick(["abs", "floor", "ceil", "round"]), [part(&self)])
        case 2: return expression(.sign(isNegative: random.chance(2), part(&self)))
        default:
            let operations: [ArithmeticOperator] =
                random.chance(2) ? [.add, .subtract] : [.multiply, .divide, .remainder]
            let steps = (0...random.below(3)).map { _ in
                Expression.ArithmeticStep(random.pick(operations), part(&self))
            }
            return expression(.arithmetic(part(&self), steps))
        }
    }

    private mutating func string(depth: Int) -> Expression {
        let text = value(of: .string, depth: depth - 1)
        guard random.chance(3) else {
            return call(random.pick(["lower", "upper", "trim"]), [text])
        }
        let places = (0...random.below(2)).map { _ in
            random.chance(3)
                ? expression(.column(random.pick(["i", "j"])))
                : expression(.literal(.int(random.pick([-1, 0, 1, 2, 3, .max, .min]))))
        }
        return call("substr", [text] + places)
    }

    private func call(_ name: String, _ arguments: [Expression]) -> Expression {
        expression(.call(Located(name, RandomSyntax.nowhere), arguments))
    }

    private mutating func leaf(_ kind: Kind) -> Expression {
        if random.chance(12) { return expression(.literal(.null)) }
        return anchor(kind)
    }

    private mutating func anchor(_ kind: Kind) -> Expression {
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

    /// A column beside a parameter, which is read as the column's kind.
    private mutating func parameterised(_ kind: Kind) -> Expression {
        let (columns, names): ([String], [String]) =
            switch kind {
            case .number: (["i", "f"], ["n1", "n2", "n3"])
            case .bool: (["b", "c"], ["b1", "b2"])
            case .string: (["s", "t"], ["s1", "n1", "b1"])
            }
        let column = expression(.column(random.pick(columns)))
        let parameter = expression(.parameter(random.pick(names)))
        let comparisons = ComparisonOperator.allCases.filter { kind != .bool || !$0.isOrdering }
        let sides = random.chance(2) ? (column, parameter) : (parameter, column)
        return expression(.comparison(random.pick(comparisons), sides.0, sides.1))
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
        switch random.below(8) {
        case 7: return parameterised(kind)
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
