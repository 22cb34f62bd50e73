// The user's key of a row.

/// What a user calls a row: the `id` of a training example. A string and an integer are different
/// ids even where they are written alike.
///
/// In JSON it is a string or a number.
public enum RowID: Sendable, Hashable, Codable, CustomStringConvertible {
    /// 1 to 1,024 bytes of UTF-8.
    case string(String)
    case int(Int64)

    /// The longest string id, in bytes of UTF-8.
    public static let longestStringBytes = 1_024

    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            self = .string(text)
        } else {
            self = .int(try container.decode(Int64.self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .string(let text): try container.encode(text)
        case .int(let number): try container.encode(number)
        }
    }

    /// The id as its user writes it, without quotes.
    public var description: String {
        switch self {
        case .string(let text): text
        case .int(let number): String(number)
        }
    }
}
