// How tightly each form of an expression binds: the parser's table, and the printer's.

package enum BindingPower: Int, Comparable, Sendable {
    case or = 1
    case and
    case not
    /// Comparisons, IN, BETWEEN, LIKE and IS NULL; they do not chain.
    case predicate
    /// `+` and `-`: what stands on either side of a comparison.
    case sum
    /// `*`, `/` and `%`.
    case product
    case sign
    /// Columns, values, parameters, functions and what stands in parentheses.
    case primary

    package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}
