// The canonical spelling of a condition: parentheses only where the tree needs them, so that it
// reads back as the same tree.

extension Expression: CustomStringConvertible {
    package var description: String {
        switch node {
        case .column(let name): Spelling.name(name)
        case .literal(let literal): literal.description
        case .parameter(let name): "$" + name
        case .sign(let isNegative, let operand): (isNegative ? "-" : "+") + operand.behindSign
        case .arithmetic(let first, let steps): Self.spelled(first, steps)
        case .call(let name, let arguments):
            name.value + "(" + arguments.map(\.asOperand).joined(separator: ", ") + ")"
        case .not(let operand): "NOT " + operand.spelled(within: .not)
        case .and(let operands):
            operands.map { $0.spelled(within: .not) }.joined(separator: " AND ")
        case .or(let operands):
            operands.map { $0.spelled(within: .and) }.joined(separator: " OR ")
        case .comparison(let comparison, let left, let right):
            "\(left.asOperand) \(comparison.rawValue) \(right.asOperand)"
        case .membership(let operand, let items, let isNegated):
            operand.asOperand + (isNegated ? " NOT" : "") + " IN ("
                + items.map(\.asOperand).joined(separator: ", ") + ")"
        case .between(let operand, let lower, let upper, let isNegated):
            operand.asOperand + (isNegated ? " NOT" : "")
                + " BETWEEN \(lower.asOperand) AND \(upper.asOperand)"
        case .like(let operand, let pattern, let escape, let isNegated):
            operand.asOperand + (isNegated ? " NOT" : "")
                + " LIKE \(Spelling.string(pattern.value))"
                + (escape.map { " ESCAPE \(Spelling.string($0.value))" } ?? "")
        case .isNull(let operand, let isNegated):
            operand.asOperand + (isNegated ? " IS NOT NULL" : " IS NULL")
        }
    }

    private var bindingPower: BindingPower {
        switch node {
        case .or: .or
        case .and: .and
        case .not: .not
        case .comparison, .membership, .between, .like, .isNull: .predicate
        case .arithmetic(_, let steps): Self.isProduct(steps) ? .product : .sum
        case .sign: .sign
        case .column, .literal, .parameter, .call: .primary
        }
    }

    private func spelled(within minimum: BindingPower) -> String {
        bindingPower < minimum ? "(\(self))" : description
    }

    private var asOperand: String { spelled(within: .sum) }

    private static func spelled(_ first: Expression, _ steps: [ArithmeticStep]) -> String {
        let minimum: BindingPower = isProduct(steps) ? .sign : .product
        return steps.reduce(into: first.spelled(within: minimum)) { text, step in
            text += " \(step.operation.rawValue) " + step.operand.spelled(within: minimum)
        }
    }

    /// All operations of a chain bind alike.
    private static func isProduct(_ steps: [ArithmeticStep]) -> Bool {
        steps.first?.operation.isProduct ?? false
    }

    /// A sign is read together with a number behind it, and two minus signs begin a comment.
    private var behindSign: String {
        let text = spelled(within: .sign)
        return switch node {
        case .sign: " " + text
        case .literal where text.hasPrefix("-"): " " + text
        case .literal(.int), .literal(.float): "(" + text + ")"
        default: text
        }
    }
}
