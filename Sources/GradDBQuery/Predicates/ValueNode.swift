// What a condition is about, with all names and types settled: the tree that gives a value for each
// row. Parameters are constants here, and what constants decide alone is worked out.

package indirect enum ValueNode: Equatable, Sendable {
    /// Never NULL inside another node.
    case constant(Literal)
    case column(String)
    /// Of a number.
    case negative(ValueNode)
    /// The nearest float of an int.
    case float(ValueNode)
    /// Of numbers, from left to right.
    case arithmetic(ValueNode, [Step])
    /// Of coalesce all arguments are of one type.
    case call(ValueFunction, [ValueNode])

    package struct Step: Equatable, Sendable {
        package let operation: ArithmeticOperator
        package let operand: ValueNode
    }

    /// The constant that it is for every row, if it is one.
    package var constant: Literal? {
        if case .constant(let literal) = self { literal } else { nil }
    }

    func visitColumns(_ visit: (String) -> Void) {
        switch self {
        case .constant: break
        case .column(let name): visit(name)
        case .negative(let operand), .float(let operand): operand.visitColumns(visit)
        case .arithmetic(let first, let steps):
            first.visitColumns(visit)
            for step in steps { step.operand.visitColumns(visit) }
        case .call(_, let arguments):
            for argument in arguments { argument.visitColumns(visit) }
        }
    }
}
