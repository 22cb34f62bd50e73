// Statements that no one wrote, to see that what is spelled out reads back.

import GradDBQuery

/// Builds syntax trees: everything the grammar can say, names that need quotes among it.
struct RandomSyntax {
    var random: LanguageRandom
    var names = Self.oddNames
    var strings = Self.oddStrings

    init(random: LanguageRandom) { self.random = random }

    static let nowhere = SourceRange(0, 0)

    static let oddNames = [
        "source", "tokens", "id", "row", "score", "weight", "confidence", "top", "select", "null",
        "two words", "a\"b", "naïve", "日本", "_x1", "1st", "é", "'", "Top", "a.b", "--", "self",
    ]

    static let oddStrings = [
        "", "alpaca", "it's", "''", "%", "a;b", "-- no comment", "/*", "日本語", "line\nline", "\"",
        "layers.*.mlp", "\t", "\u{1F9EA}", "\\",
    ]

    static let floats = [0.5, -0.25, 1e-5, -2.5e300, .leastNonzeroMagnitude, 1e16, 3, 1 / 3]

    mutating func name() -> String { random.pick(names) }

    mutating func string() -> String { random.pick(strings) }

    mutating func literal() -> Literal {
        switch random.below(6) {
        case 0: .string(string())
        case 1: .int(random.pick([0, 1, -1, 42, .max, .min, 1 << 53 + 1]))
        case 2: .float(random.pick(Self.floats))
        case 3: .bool(random.chance(2))
        case 4: .null
        default: .int(Int64(truncatingIfNeeded: random.next()))
        }
    }

    static let words = ["lower", "coalesce", "substr", "nope", "max", "row", "日本", "_x1", "abs"]

    mutating func operand(depth: Int = 2) -> Expression {
        let node: Expression.Node =
            switch random.below(depth == 0 ? 5 : 9) {
            case 0, 1: .column(name())
            case 2, 3: .literal(literal())
            case 4: .parameter(random.pick(Self.words))
            case 5: .sign(isNegative: random.chance(2), operand(depth: depth - 1))
            case 6:
                .call(
                    Located(random.pick(Self.words), Self.nowhere),
                    (0...random.below(3)).map { _ in operand(depth: depth - 1) })
            default: arithmetic(depth: depth)
            }
        return Expression(node, Self.nowhere)
    }

    private mutating func arithmetic(depth: Int) -> Expression.Node {
        let isProduct = random.chance(2)
        let operations = ArithmeticOperator.allCases.filter { $0.isProduct == isProduct }
        let steps = (0...random.below(3)).map { _ in
            Expression.ArithmeticStep(random.pick(operations), operand(depth: depth - 1))
        }
        return .arithmetic(operand(depth: depth - 1), steps)
    }

    mutating func condition(depth: Int) -> Expression {
        if depth == 0 { return operand() }
        // A condition where an operand belongs parses, in parentheses; only the binder minds.
        let side = { (syntax: inout RandomSyntax) in
            syntax.random.chance(8) ? syntax.condition(depth: depth - 1) : syntax.operand()
        }
        let isNegated = random.chance(2)
        let node: Expression.Node
        switch random.below(9) {
        case 0: node = .not(condition(depth: depth - 1))
        case 1, 2: node = .and((0..<2 + random.below(3)).map { _ in condition(depth: depth - 1) })
        case 3, 4: node = .or((0..<2 + random.below(3)).map { _ in condition(depth: depth - 1) })
        case 5:
            node = .membership(
                side(&self), (0...random.below(3)).map { _ in side(&self) }, isNegated: isNegated)
        case 6:
            node = .between(
                side(&self), lower: side(&self), upper: side(&self), isNegated: isNegated)
        case 7:
            let escape = random.chance(2) ? Located("!", Self.nowhere) : nil
            node = .like(
                side(&self), pattern: Located(string(), Self.nowhere), escape: escape,
                isNegated: isNegated)
        default:
            node =
                random.chance(3)
                ? .isNull(side(&self), isNegated: isNegated)
                : .comparison(random.pick(ComparisonOperator.allCases), side(&self), side(&self))
        }
        return Expression(node, Self.nowhere)
    }

    mutating func statement() -> Statement {
        let here = Self.nowhere
        let items = (0...random.below(4)).map { _ -> Located<SelectItem> in
            if random.chance(4) { return Located(.all, here) }
            let alias = random.chance(3) ? Located(name(), here) : nil
            return Located(.column(Located(name(), here), alias: alias), here)
        }
        let version: [TableVersion?] = [nil, .snapshot(random.next()), .named(string())]
        let source: [QuerySource] = [
            .file(string()), .parameter(random.pick(Self.words)),
            .row(.int(Int64(truncatingIfNeeded: random.next()))),
            .row(.string(string())), .rows(condition(depth: random.below(3))),
        ]
        let weight: [Double?] = [nil, 2e-5, -1, 0]
        let listed = (0...random.below(3)).map {
            WeightedCheckpoint(
                name: Located("\($0)" + string(), here),
                weight: random.pick(weight).map { Located($0, here) })
        }
        let accuracy: [Accuracy?] = [
            nil, .exact, .confidence(0.999), .confidence(1e-300), .budget(seconds: 0.2),
            .budget(seconds: 1e-7), .budget(seconds: 1e20),
        ]
        let measure = random.pick(Measure.allCases)
        var statement = Statement(
            explain: random.pick([nil, .plan, .analyze]), selection: items,
            table: Located(name(), here), measure: Located(measure, here),
            querySource: measure == .`self` ? nil : Located(random.pick(source), here),
            origin: .init(source: SourceText(""), range: here))
        statement.isPerLayer = random.chance(4)
        statement.version = random.pick(version).map { Located($0, here) }
        if measure != .`self` { statement.reduction = random.pick([.each, .mean, .sum, .max]) }
        statement.layers = (0..<random.below(3)).map { _ in Located(string(), here) }
        statement.checkpoints = random.pick([.newest, .all, .listed(listed)])
        statement.preconditioner = random.chance(4) ? Located(name(), here) : nil
        statement.filter = random.chance(2) ? condition(depth: random.below(4)) : nil
        if random.chance(3) {
            statement.grouping = Grouping(
                column: Located(name(), here),
                reduction: Located(random.pick(GroupReduction.allCases), here))
        }
        let limits: [RowLimit] = [.rows(1 + random.below(1000)), .rows(.max), .percent(0.5)]
        if random.chance(4) {
            statement.isAll = true
        } else {
            statement.top = random.chance(2) ? Located(random.pick(limits), here) : nil
            statement.bottom = random.chance(2) ? Located(random.pick(limits), here) : nil
        }
        statement.accuracy = random.pick(accuracy).map { Located($0, here) }
        return statement
    }
}
