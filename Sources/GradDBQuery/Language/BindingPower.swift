// How tightly each form of an expression binds: the parser's table, and the printer's.

package enum BindingPower: Int, Comparable, Sendable {
    case or = 1
    case and
    case not
    /// Comparisons, IN, BETWEEN, LIKE and IS NULL; they do not chain.
    case predicate
    /// What stands on either side of a comparison.
    case operand

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
