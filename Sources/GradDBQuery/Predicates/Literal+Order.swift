// Constants compared with each other, and carried over into the type of a column.

extension Literal {
    /// Negative, zero or positive as this is less than, equal to or greater than `other`; nil when
    /// either is NULL or they are of different kinds. Bools have no order; different ones count as
    /// unequal only.
    func order(to other: Literal) -> Int? {
        switch (self, other) {
        case (.int(let left), .int(let right)): NumericOrder.compare(left, right)
        case (.int(let left), .float(let right)): NumericOrder.compare(left, right)
        case (.float(let left), .int(let right)): -NumericOrder.compare(right, left)
        case (.float(let left), .float(let right)): NumericOrder.compare(left, right)
        case (.string(let left), .string(let right)): StringOrder.compare(left, right)
        case (.bool(let left), .bool(let right)): left == right ? 0 : 1
        default: nil
        }
    }

    /// The integer that is equal to this number, if there is one.
    var exactInt: Int64? {
        switch self {
        case .int(let value): value
        case .float(let value): Int64(exactly: value)
        case .string, .bool, .null: nil
        }
    }

    /// The float that is equal to this number, if there is one.
    var exactFloat: Double? {
        switch self {
        case .int(let value): Double(exactly: value)
        case .float(let value): value
        case .string, .bool, .null: nil
        }
    }
}
