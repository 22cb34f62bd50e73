// Arithmetic of one batch of numbers, a whole column at a time. What has no value becomes NULL:
// overflow, division by zero, a float beyond the finite ones. No loop traps, whatever it is given.

import GradDB

/// Numbers of consecutive rows; those of absent rows mean nothing.
struct NumberColumn {
    enum Values {
        case int([Int64])
        case float([Double])
    }

    var values: Values
    var isPresent: [Bool]

    private var floats: [Double] {
        switch values {
        case .int(let values): values.map { Double($0) }
        case .float(let values): values
        }
    }

    // MARK: Two operands

    mutating func form(_ operation: ArithmeticOperator, _ right: NumberColumn) {
        precondition(isPresent.count == right.isPresent.count)
        for row in isPresent.indices where !right.isPresent[row] { isPresent[row] = false }
        if case .int(let left) = values, case .int(let right) = right.values {
            switch operation {
            case .add: return formInts(left, right) { $0.addingReportingOverflow($1) }
            case .subtract: return formInts(left, right) { $0.subtractingReportingOverflow($1) }
            case .multiply: return formInts(left, right) { $0.multipliedReportingOverflow(by: $1) }
            case .remainder: return formInts(left, right, Self.remainder)
            case .divide: break
            }
        }
        let (left, right) = (floats, right.floats)
        switch operation {
        case .add: formFloats(left, right) { $0 + $1 }
        case .subtract: formFloats(left, right) { $0 - $1 }
        case .multiply: formFloats(left, right) { $0 * $1 }
        // By zero both give what is not finite, and so NULL.
        case .divide: formFloats(left, right) { $0 / $1 }
        case .remainder: formFloats(left, right) { $0.truncatingRemainder(dividingBy: $1) }
        }
    }

    private typealias Checked = (partialValue: Int64, overflow: Bool)

    private static func remainder(_ left: Int64, _ right: Int64) -> Checked {
        // The least integer by -1: the quotient is too large, but the remainder is not.
        right == -1 ? (0, false) : left.remainderReportingOverflow(dividingBy: right)
    }

    @inline(__always)
    private mutating func formInts(
        _ left: [Int64], _ right: [Int64], _ operation: (Int64, Int64) -> Checked
    ) {
        var result = left
        for row in left.indices {
            let (value, isWrong) = operation(left[row], right[row])
            result[row] = value
            if isWrong { isPresent[row] = false }
        }
        values = .int(result)
    }

    @inline(__always)
    private mutating func formFloats(
        _ left: [Double], _ right: [Double], _ operation: (Double, Double) -> Double
    ) {
        var result = left
        for row in left.indices {
            result[row] = operation(left[row], right[row])
            if !result[row].isFinite { isPresent[row] = false }
        }
        values = .float(result)
    }

    // MARK: One operand

    mutating func negate() {
        switch values {
        case .int(let ints):
            formInts(ints, ints) { value, _ in (0 as Int64).subtractingReportingOverflow(value) }
        case .float(let floats): values = .float(floats.map { -$0 })
        }
    }

    mutating func formMagnitude() {
        switch values {
        case .int(let ints):
            formInts(ints, ints) { value, _ in
                value < 0 ? (0 as Int64).subtractingReportingOverflow(value) : (value, false)
            }
        case .float(let floats): values = .float(floats.map(\.magnitude))
        }
    }

    /// To a whole number; an integer is one.
    mutating func round(_ rule: FloatingPointRoundingRule) {
        if case .float(let floats) = values { values = .float(floats.map { $0.rounded(rule) }) }
    }

    /// Every integer to the nearest float.
    mutating func convertToFloats() { values = .float(floats) }
}
