// The five operations on numbers, in two chains: sums, and products inside sums.

package enum ArithmeticOperator: String, CaseIterable, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case remainder = "%"

    /// Whether it binds as tightly as a product.
    package var isProduct: Bool { self != .add && self != .subtract }
}

extension Token {
    /// The operation that this token is between two operands.
    var arithmeticOperator: ArithmeticOperator? {
        switch kind {
        case .symbol(.plus): .add
        case .symbol(.minus): .subtract
        case .symbol(.star): .multiply
        case .symbol(.slash): .divide
        case .symbol(.percent): .remainder
        default: nil
        }
    }
}
