// The syntax tree of a condition. It knows names and spellings, not types: the binder does.
//
// AND, OR and arithmetic hold all their operands side by side, so that a chain of any length is one
// level of the tree. The tree is therefore never deeper than the parser's limit on nesting, and recursion
// over it is safe.

package struct Expression: Equatable, Sendable {
    package indirect enum Node: Equatable, Sendable {
        case column(String)
        case literal(Literal)
        /// `$name`, bound by the caller.
        case parameter(String)
        /// A sign that is not part of a number.
        case sign(isNegative: Bool, Expression)
        /// Sums, or products, from left to right; at least one step.
        case arithmetic(Expression, [ArithmeticStep])
        /// A function, its name in lower case, and its arguments, at least one.
        case call(Located<String>, [Expression])
        case not(Expression)
        /// Two operands or more.
        case and([Expression])
        /// Two operands or more.
        case or([Expression])
        case comparison(ComparisonOperator, Expression, Expression)
        /// `operand [NOT] IN (items)`; at least one item.
        case membership(Expression, [Expression], isNegated: Bool)
        case between(Expression, lower: Expression, upper: Expression, isNegated: Bool)
        case like(Expression, pattern: Located<String>, escape: Located<String>?, isNegated: Bool)
        case isNull(Expression, isNegated: Bool)
    }

    package let node: Node
    package let range: SourceRange

    package init(_ node: Node, _ range: SourceRange) {
        self.node = node
        self.range = range
    }

    /// Equal when they say the same, wherever they were written.
    package static func == (left: Expression, right: Expression) -> Bool { left.node == right.node }
}

extension Expression {
    /// An operation of a chain and its right side.
    package struct ArithmeticStep: Equatable, Sendable {
        package let operation: ArithmeticOperator
        package let operand: Expression

        package init(_ operation: ArithmeticOperator, _ operand: Expression) {
            self.operation = operation
            self.operand = operand
        }
    }
}
