// The truth of a condition for each row of a batch, one byte a row, and the loops that make and
// combine such vectors. The unsafe code of predicates is in this file and StringOrder.swift. The
// loops have no branches on data, so that the compiler can use vector instructions.

struct TruthVector: Sendable {
    /// Raw values of `Truth`.
    private var values: [UInt8]

    private static var no: UInt8 { Truth.no.rawValue }
    private static var unknown: UInt8 { Truth.unknown.rawValue }
    private static var yes: UInt8 { Truth.yes.rawValue }
    /// Stands for a code that the dictionary does not have; above every truth.
    private static var damaged: UInt8 { 3 }

    init(repeating truth: Truth, count: Int) {
        values = [UInt8](repeating: truth.rawValue, count: count)
    }

    /// Yes where no value is present, no elsewhere.
    init(absenceIn isPresent: [Bool]) {
        values = isPresent.map { $0 ? Self.no : Self.yes }
    }

    /// What `test` says of each value; unknown where none is present.
    ///
    /// - Precondition: both arrays have the same length.
    @inline(__always)
    init<Value>(of column: [Value], where isPresent: [Bool], _ test: (Value) -> Bool) {
        precondition(column.count == isPresent.count)
        values = column.withUnsafeBufferPointer { column in
            isPresent.withUnsafeBufferPointer { isPresent in
                [UInt8](unsafeUninitializedCapacity: column.count) { result, count in
                    for row in 0..<column.count {
                        let truth = test(column[row]) ? Self.yes : Self.no
                        result[row] = isPresent[row] ? truth : Self.unknown
                    }
                    count = column.count
                }
            }
        }
    }

    /// What `test` says of the two values of each row; unknown where either is not present.
    ///
    /// - Precondition: all four arrays have the same length.
    @inline(__always)
    init<Left, Right>(
        of left: [Left], _ right: [Right], where leftIsPresent: [Bool], _ rightIsPresent: [Bool],
        _ test: (Left, Right) -> Bool
    ) {
        precondition(left.count == right.count && left.count == leftIsPresent.count)
        values = right.withUnsafeBufferPointer { right in
            var row = 0
            // The closure is called once for each row, in order.
            return TruthVector(of: left, where: leftIsPresent) { value in
                defer { row += 1 }
                return test(value, right[row])
            }.values
        }
        form(TruthVector(absenceIn: rightIsPresent)) { truth, isAbsent in
            isAbsent == Self.yes ? Self.unknown : truth
        }
    }

    /// `table[code]` of each row; unknown where no value is present.
    ///
    /// - Returns: nil when a present value's code is beyond the table.
    /// - Precondition: `codes` and `isPresent` have the same length.
    init?(of codes: [UInt32], where isPresent: [Bool], in table: [Bool]) {
        precondition(codes.count == isPresent.count)
        let outcomes = table.map { $0 ? Self.yes : Self.no } + [Self.damaged]
        var highest = Self.no
        values = outcomes.withUnsafeBufferPointer { outcomes in
            codes.withUnsafeBufferPointer { codes in
                isPresent.withUnsafeBufferPointer { isPresent in
                    [UInt8](unsafeUninitializedCapacity: codes.count) { result, count in
                        for row in 0..<codes.count {
                            let truth = outcomes[min(Int(codes[row]), outcomes.count - 1)]
                            result[row] = isPresent[row] ? truth : Self.unknown
                            highest = max(highest, result[row])
                        }
                        count = codes.count
                    }
                }
            }
        }
        if highest == Self.damaged { return nil }
    }

    mutating func formAnd(_ other: TruthVector) { form(other) { min($0, $1) } }

    mutating func formOr(_ other: TruthVector) { form(other) { max($0, $1) } }

    mutating func negate() {
        values.withUnsafeMutableBufferPointer { values in
            for row in 0..<values.count { values[row] = Self.yes - values[row] }
        }
    }

    /// Whether the condition is true, which unknown is not, row by row.
    var mask: [Bool] { values.map { $0 == Self.yes } }

    @inline(__always)
    private mutating func form(_ other: TruthVector, _ combine: (UInt8, UInt8) -> UInt8) {
        precondition(values.count == other.values.count)
        values.withUnsafeMutableBufferPointer { values in
            other.values.withUnsafeBufferPointer { other in
                for row in 0..<values.count { values[row] = combine(values[row], other[row]) }
            }
        }
    }
}
