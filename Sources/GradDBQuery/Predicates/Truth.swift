// SQL's three truth values, ordered so that AND is the lesser and OR the greater of two.

package enum Truth: UInt8, Comparable, Sendable {
    case no = 0
    case unknown = 1
    case yes = 2

    package init(_ value: Bool) { self = value ? .yes : .no }

    package var negated: Truth {
        switch self {
        case .no: .yes
        case .unknown: .unknown
        case .yes: .no
        }
    }

    package static func < (left: Truth, right: Truth) -> Bool { left.rawValue < right.rawValue }
}
