// What conditions are about, bound: names and functions looked up, types settled, constants worked
// out by the evaluator itself, so that a constant has no arithmetic of its own.

import GradDB

extension PredicateBinder {
    /// A value with its type, and how and where it was written.
    struct Operand {
        var node: ValueNode
        /// Nil for NULL, which can stand everywhere.
        var type: FieldType?
        let range: SourceRange
        /// How an error names it.
        let wording: String

        var kind: ValueKind? { type.map { ValueKind($0) } }
    }

    /// - Parameter wanted: the kind that the place asks for, where that is known; only a parameter
    ///   is read by it.
    func operand(
        _ expression: Expression, wanted: ValueKind?
    ) throws(QueryError) -> Operand {
        let range = expression.range
        switch expression.node {
        case .literal(let literal):
            return Operand(
                node: .constant(literal), type: literal.type, range: range,
                wording: literal.wording)
        case .parameter(let name):
            let literal = try parameter(name, as: wanted, at: range)
            return Operand(
                node: .constant(literal), type: literal.type, range: range,
                wording: "the parameter $\(SourceExcerpt.quotable(name)) (\(literal.wording))")
        case .column(let name):
            guard let type = types[name] else { throw unknownColumn(name, at: range) }
            return Operand(
                node: .column(name), type: type, range: range,
                wording: "the \(type.rawValue) column '\(SourceExcerpt.quotable(name))'")
        case .sign(let isNegative, let inner):
            let value = try number(inner, for: isNegative ? "-" : "+")
            return result(isNegative ? .negative(value.node) : value.node, value.type, range)
        case .arithmetic(let first, let steps): return try arithmetic(first, steps, range)
        case .call(let name, let arguments):
            return try call(name, arguments, range, wanted: wanted)
        default:
            throw source.error(
                "a condition stands where a value should", at: range,
                expected: "a column or a value")
        }
    }

    // MARK: Arithmetic

    private func arithmetic(
        _ first: Expression, _ steps: [Expression.ArithmeticStep], _ range: SourceRange
    ) throws(QueryError) -> Operand {
        let value = try number(first, for: steps[0].operation.rawValue)
        var type = value.type
        var isNull = value.node == .constant(.null)
        var nodes: [ValueNode.Step] = []
        for step in steps {
            let right = try number(step.operand, for: step.operation.rawValue)
            isNull = isNull || right.node == .constant(.null)
            let isFloat = type == .float || right.type == .float || step.operation == .divide
            type = isFloat ? .float : .int
            nodes.append(.init(operation: step.operation, operand: right.node))
        }
        return result(
            isNull ? .constant(.null) : .arithmetic(value.node, nodes), type, range)
    }

    private func number(
        _ expression: Expression, for operation: String
    ) throws(QueryError) -> Operand {
        let value = try operand(expression, wanted: .number)
        guard value.kind ?? .number == .number else {
            throw source.error(
                "\(operation) cannot take \(value.wording)", at: value.range,
                expected: ValueKind.number.wanted)
        }
        return value
    }

    /// What arithmetic gives.
    private func result(_ node: ValueNode, _ type: FieldType?, _ range: SourceRange) -> Operand {
        let type = type ?? .int
        return Operand(
            node: folded(node), type: type, range: range,
            wording: "the result of arithmetic (\(type.article))")
    }

    // MARK: Functions

    private func call(
        _ name: Located<String>, _ arguments: [Expression], _ range: SourceRange,
        wanted: ValueKind?
    ) throws(QueryError) -> Operand {
        guard let function = ValueFunction(rawValue: name.value) else {
            let known = ValueFunction.allCases.map(\.rawValue)
            throw source.error(
                "there is no function '\(SourceExcerpt.quotable(name.value))'", at: name.range,
                expected: "one of " + known.joined(separator: ", "),
                hint: NearestName.hint(for: name.value, among: known))
        }
        guard function.argumentCounts.contains(arguments.count) else {
            throw source.error(
                "\(name.value) does not take \(arguments.count) "
                    + (arguments.count == 1 ? "argument" : "arguments"),
                at: range, expected: function.usage)
        }
        let common = function == .coalesce ? naturalKind(of: arguments) ?? wanted : nil
        var values: [Operand] = []
        for (place, argument) in arguments.enumerated() {
            let parameter = function.parameter(place)
            let value = try operand(argument, wanted: parameter.kind ?? common)
            guard value.type.map({ parameter.takes($0) }) ?? true else {
                throw source.error(
                    "\(name.value) cannot take \(value.wording)", at: value.range,
                    expected: parameter.wanted)
            }
            values.append(value)
        }
        if function == .coalesce { return try coalesce(values, range) }
        let node =
            values.contains { $0.node == .constant(.null) }
            ? .constant(.null) : ValueNode.call(function, values.map(\.node))
        return result(of: function, node, function.result(of: values.map(\.type)), range)
    }

    /// Without the constants that no row asks for: NULLs, and all behind the first other one.
    private func coalesce(
        _ values: [Operand], _ range: SourceRange
    ) throws(QueryError) -> Operand {
        let typed = values.first { $0.type != nil }
        if let typed, let other = values.first(where: { $0.kind ?? typed.kind != typed.kind }) {
            throw source.error(
                "coalesce cannot take \(other.wording) beside \(typed.wording)", at: other.range,
                expected: typed.kind?.wanted ?? "a value")
        }
        var kept = values.filter { $0.node != .constant(.null) }
        if let last = kept.firstIndex(where: { $0.node.constant != nil }) {
            kept.removeSubrange((last + 1)...)
        }
        let type = ValueFunction.coalesce.result(of: values.map(\.type))
        let nodes = kept.map { value in
            type == .float && value.type == .int ? folded(.float(value.node)) : value.node
        }
        guard let first = nodes.first else {
            return result(of: .coalesce, .constant(.null), type, range)
        }
        return result(
            of: .coalesce, nodes.count == 1 ? first : .call(.coalesce, nodes), type, range)
    }

    private func result(
        of function: ValueFunction, _ node: ValueNode, _ type: FieldType?, _ range: SourceRange
    ) -> Operand {
        let of = type.map { " (\($0.article))" } ?? ""
        return Operand(
            node: folded(node), type: type, range: range,
            wording: "the result of \(function.rawValue)\(of)")
    }

    // MARK: Constants

    /// The node, or the constant that it always is.
    private func folded(_ node: ValueNode) -> ValueNode {
        let isConstant =
            switch node {
            case .constant, .column: false
            case .negative(let operand), .float(let operand): operand.constant != nil
            case .arithmetic(let first, let steps):
                first.constant != nil && steps.allSatisfy { $0.operand.constant != nil }
            case .call(_, let arguments): arguments.allSatisfy { $0.constant != nil }
            }
        guard isConstant else { return node }
        let one = PredicateEvaluator(columns: [:], rowCount: 1)
        guard let column = try? one.values(of: node) else { return node }
        return .constant(column[0].map(Literal.init) ?? .null)
    }
}

extension Literal {
    init(_ value: FieldValue) {
        switch value {
        case .string(let value): self = .string(value)
        case .int(let value): self = .int(value)
        case .float(let value): self = .float(value)
        case .bool(let value): self = .bool(value)
        }
    }

    /// How an error names it.
    fileprivate var wording: String {
        switch self {
        case .string(let value): "the string '\(SourceExcerpt.quotable(value))'"
        case .int, .float: "the number \(self)"
        case .bool, .null: description
        }
    }
}
