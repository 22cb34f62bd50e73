// A constant written in a statement.

package enum Literal: Equatable, Sendable {
    case string(String)
    case int(Int64)
    /// Finite: a number too large for a float is refused where it stands.
    case float(Double)
    case bool(Bool)
    case null
}

extension Literal: CustomStringConvertible {
    /// The canonical spelling, which reads back as the same literal.
    package var description: String {
        switch self {
        case .string(let value): Spelling.string(value)
        case .int(let value): "\(value)"
        case .float(let value): "\(value)"
        case .bool(let value): value ? "TRUE" : "FALSE"
        case .null: "NULL"
        }
    }
}
