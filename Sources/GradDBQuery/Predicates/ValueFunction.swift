// The functions of conditions: their names, what they take, and what they give.

import GradDB

package enum ValueFunction: String, CaseIterable, Sendable {
    case length, lower, upper, trim, substr, abs, floor, ceil, round, coalesce

    /// What an argument must be.
    enum Parameter {
        case string, number
        /// Of the same kind as the others.
        case any

        var kind: ValueKind? {
            switch self {
            case .string: .string
            case .number: .number
            case .any: nil
            }
        }

        func takes(_ type: FieldType) -> Bool {
            switch self {
            case .string: type == .string
            case .number: type == .int || type == .float
            case .any: true
            }
        }

        var wanted: String {
            switch self {
            case .string: "a string"
            case .number: "a number"
            case .any: "a value"
            }
        }
    }

    /// What the argument at a place must be.
    func parameter(_ place: Int) -> Parameter {
        switch self {
        case .length, .lower, .upper, .trim: .string
        case .substr: place == 0 ? .string : .number
        case .abs, .floor, .ceil, .round: .number
        case .coalesce: .any
        }
    }

    var argumentCounts: ClosedRange<Int> {
        switch self {
        case .substr: 2...3
        case .coalesce: 2 ... .max
        default: 1...1
        }
    }

    /// How an error shows its arguments.
    var usage: String {
        switch self {
        case .length, .lower, .upper, .trim: "\(rawValue)(s)"
        case .substr: "substr(s, first) or substr(s, first, count)"
        case .abs, .floor, .ceil, .round: "\(rawValue)(x)"
        case .coalesce: "coalesce(x, y, …)"
        }
    }

    /// What it gives whatever its arguments are; nil when that depends on them.
    var kind: ValueKind? {
        switch self {
        case .length, .abs, .floor, .ceil, .round: .number
        case .lower, .upper, .trim, .substr: .string
        case .coalesce: nil
        }
    }

    /// The type that it gives for arguments of these types; nil is that of NULL.
    func result(of arguments: [FieldType?]) -> FieldType? {
        switch self {
        case .length: .int
        case .lower, .upper, .trim, .substr: .string
        case .abs, .floor, .ceil, .round: arguments.first.flatMap { $0 } ?? .int
        case .coalesce: arguments.contains(.float) ? .float : arguments.lazy.compactMap { $0 }.first
        }
    }
}
