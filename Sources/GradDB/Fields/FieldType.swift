// The types of metadata columns, and single values of them.

/// The type of a metadata field.
public enum FieldType: String, Codable, Sendable, CaseIterable {
    case string, int, float, bool
}

/// One metadata value; a field that a row does not have is `nil` where an optional is used.
public enum FieldValue: Equatable, Sendable, Hashable {
    case string(String)
    case int(Int64)
    case float(Double)
    case bool(Bool)

    public var type: FieldType {
        switch self {
        case .string: .string
        case .int: .int
        case .float: .float
        case .bool: .bool
        }
    }
}

/// A metadata column of a table: filterable in WHERE, returnable in SELECT.
public struct Field: Codable, Equatable, Sendable {
    public var name: String
    public var type: FieldType

    public init(name: String, type: FieldType) {
        self.name = name
        self.type = type
    }
}
