// JSON with its keys in the order they are given, which Foundation's encoder cannot keep: people
// read these lines too, and expect rank before fields.

/// A value of a JSON document.
package enum JSONValue {
    case null
    case bool(Bool)
    case int(Int64)
    case float(Double)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    package var text: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .int(let value): "\(value)"
        // Shortest digits that read back as the same double; JSON has no infinities.
        case .float(let value): value.isFinite ? "\(value)" : "null"
        case .string(let value): Self.quoted(value)
        case .array(let values): "[" + values.map(\.text).joined(separator: ", ") + "]"
        case .object(let object): object.text
        }
    }

    /// A string as JSON has it, in its shortest form; beyond ASCII as it is. Hashes depend on it.
    package static func quoted(_ string: String) -> String {
        var text = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{c}": text += "\\f"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}

/// Members in the order given.
package struct JSONObject {
    package typealias Member = (key: String, value: JSONValue)

    // Two arrays and not one of pairs: the compiler finds a circle in the latter.
    private var keys: [String]
    private var values: [JSONValue]

    package init(_ members: [Member]) {
        keys = members.map(\.key)
        values = members.map(\.value)
    }

    package mutating func append(_ key: String, _ value: JSONValue) {
        keys.append(key)
        values.append(value)
    }

    package mutating func append(contentsOf other: JSONObject) {
        keys += other.keys
        values += other.values
    }

    package var text: String {
        let members = zip(keys, values).map { "\(JSONValue.string($0).text): \($1.text)" }
        return "{" + members.joined(separator: ", ") + "}"
    }
}

extension RowID {
    package var json: JSONValue {
        switch self {
        case .int(let value): .int(value)
        case .string(let value): .string(value)
        }
    }
}

extension FieldValue? {
    package var json: JSONValue {
        switch self {
        case nil: .null
        case .string(let value): .string(value)
        case .int(let value): .int(value)
        case .float(let value): .float(value)
        case .bool(let value): .bool(value)
        }
    }
}
