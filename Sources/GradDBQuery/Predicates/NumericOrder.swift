// The order of integers and floats among each other, exact for every pair. Converting the integer
// to a float would round it beyond 2^53, and 2^53 + 1 would equal 2^53.

package enum NumericOrder {
    /// Negative, zero or positive as `left` is less than, equal to or greater than `right`.
    ///
    /// Not a number is above every integer; none is stored, but a damaged value must not trap.
    @inline(__always)
    package static func compare(_ left: Int64, _ right: Double) -> Int {
        guard right >= -0x1p63 else { return right.isNaN ? -1 : 1 }
        guard right < 0x1p63 else { return -1 }
        let truncated = Int64(right)
        if left != truncated { return left < truncated ? -1 : 1 }
        let fraction = right - Double(truncated)  // exact: it is a part of right's digits
        return fraction > 0 ? -1 : fraction < 0 ? 1 : 0
    }

    @inline(__always)
    package static func compare<Value: Comparable>(_ left: Value, _ right: Value) -> Int {
        left < right ? -1 : left == right ? 0 : 1
    }
}
