// A number with its sign, before it is known what it stands for.

package enum SignedNumber: Equatable, Sendable {
    case int(Int64)
    /// Finite.
    case float(Double)

    /// The nearest float.
    package var double: Double {
        switch self {
        case .int(let value): Double(value)
        case .float(let value): value
        }
    }

    package var literal: Literal {
        switch self {
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        }
    }
}
