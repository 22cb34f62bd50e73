// Integers against floats, where converting one to the other would lie.

import GradDBQuery
import Testing

@Suite struct NumericOrderTests {
    static let ints: [Int64] = [
        0, 1, -1, 2, -2, 1 << 52, 1 << 53 - 1, 1 << 53, 1 << 53 + 1, 1 << 53 + 2, -(1 << 53) - 1,
        1 << 62, 1 << 62 + 1, .max, .max - 1, .max - 511, .max - 512, .max - 513, .min, .min + 1,
        .min + 1024,
    ]

    static let floats: [Double] = [
        0, -0.0, 0.5, -0.5, 1, -1, 1.5, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 0x1p52,
        0x1p53, 0x1p53 + 2, -0x1p53,
        0x1p62, 0x1p63, (0x1p63).nextDown, (0x1p63).nextUp, -0x1p63, (-0x1p63).nextDown,
        (-0x1p63).nextUp, 1e300, -1e300, .greatestFiniteMagnitude, -.greatestFiniteMagnitude,
    ]

    /// Sign, then magnitude in 128-bit integers: slow and plain. Fractions are compared by halves.
    private func order(_ left: Int64, _ right: Double) -> Int {
        if right >= 0x1p64 { return -1 }
        if right <= -0x1p64 { return 1 }
        let floor = right.rounded(.down)
        let whole = Int128(floor)
        if Int128(left) != whole { return Int128(left) < whole ? -1 : 1 }
        return right > floor ? -1 : 0
    }

    @Test(
        arguments: [
            (1 << 53 + 1, 0x1p53, 1), (1 << 53, 0x1p53, 0), (1 << 53 - 1, 0x1p53, -1),
            (.max, 0x1p63, -1), (.min, -0x1p63, 0), (.min, (-0x1p63).nextDown, 1), (0, -0.0, 0),
            (0, .leastNonzeroMagnitude, -1), (-1, -0.5, -1), (0, .infinity, -1), (0, -.infinity, 1),
        ] as [(Int64, Double, Int)])
    func `an integer has its exact place among the floats`(int: Int64, float: Double, order: Int) {
        #expect(NumericOrder.compare(int, float) == order)
    }

    @Test func `the order is exact for all pairs near the bounds`() {
        for int in Self.ints {
            for float in Self.floats {
                #expect(NumericOrder.compare(int, float) == order(int, float), "\(int) \(float)")
            }
        }
    }

    @Test(arguments: ComparisonOperator.allCases.filter { $0 != .notEqual })
    func `an interval holds just the values that compare so`(comparison: ComparisonOperator) {
        for float in Self.floats {
            let interval = NumericInterval<Int64>(comparison, float)
            for int in Self.ints {
                let isInside = interval.lower <= int && int <= interval.upper
                #expect(isInside == comparison.holds(for: order(int, float)), "\(int) \(float)")
            }
            let floats = NumericInterval<Double>(comparison, float)
            for other in Self.floats + [.infinity, -.infinity] {
                let isInside = floats.lower <= other && other <= floats.upper
                let order = other < float ? -1 : other > float ? 1 : 0
                #expect(isInside == comparison.holds(for: order), "\(other) \(float)")
            }
        }
        for int in Self.ints {
            let interval = NumericInterval<Double>(comparison, int)
            for float in Self.floats {
                let isInside = interval.lower <= float && float <= interval.upper
                #expect(isInside == comparison.holds(for: -order(int, float)), "\(float) \(int)")
            }
            let ints = NumericInterval<Int64>(comparison, int)
            for other in Self.ints {
                let isInside = ints.lower <= other && other <= ints.upper
                #expect(isInside == comparison.holds(for: NumericOrder.compare(other, int)))
            }
        }
    }
}
