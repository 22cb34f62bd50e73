// What kind of value a piece of JSON is, by its first bytes, and what to call it in a message.

enum JSONKind: Equatable {
    case string, integer, fraction, bool, null, object, array

    /// The kind of one value that stands alone in `text`; nil where it can be none.
    init?(of text: Span<UInt8>) {
        guard !text.isEmpty else { return nil }
        switch text[0] {
        case UInt8(ascii: "\""): self = .string
        case UInt8(ascii: "{"): self = .object
        case UInt8(ascii: "["): self = .array
        case UInt8(ascii: "t"), UInt8(ascii: "f"): self = .bool
        case UInt8(ascii: "n"): self = .null
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            self = .integer
            for index in text.indices {
                switch text[index] {
                case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): self = .fraction
                default: continue
                }
            }
        default: return nil
        }
    }

    /// Whether a field of type `type` takes such a value.
    func fits(_ type: FieldType) -> Bool {
        switch type {
        case .string: self == .string
        case .int: self == .integer
        case .float: self == .integer || self == .fraction
        case .bool: self == .bool
        }
    }

    var words: String {
        switch self {
        case .string: "the string"
        case .integer, .fraction: "the number"
        case .bool, .null: "the value"
        case .object: "the object"
        case .array: "the array"
        }
    }
}

extension FieldType {
    /// What a field of this type takes, in a message.
    var expectedWords: String {
        switch self {
        case .string: "a string"
        case .int: "an integer of 64 bits"
        case .float: "a finite number in the range of a 64-bit float"
        case .bool: "true or false"
        }
    }
}
