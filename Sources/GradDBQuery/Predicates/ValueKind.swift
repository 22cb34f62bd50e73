// Kinds of values: those of one kind compare with each other.

import GradDB

/// The raw value is how an error names one.
enum ValueKind: String {
    case number = "a number"
    case string = "a string"
    case bool = "a bool"

    init(_ type: FieldType) {
        switch type {
        case .int, .float: self = .number
        case .string: self = .string
        case .bool: self = .bool
        }
    }

    /// How an error asks for one.
    var wanted: String { self == .bool ? "TRUE, FALSE or a bool column" : rawValue }
}

extension FieldType {
    /// How an error names a value of this type.
    var article: String { self == .int ? "an int" : "a \(rawValue)" }
}

extension Literal {
    /// Nil for NULL, which can stand everywhere.
    var type: FieldType? {
        switch self {
        case .string: .string
        case .int: .int
        case .float: .float
        case .bool: .bool
        case .null: nil
        }
    }
}
