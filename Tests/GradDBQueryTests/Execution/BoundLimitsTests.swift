// Shares of rows are those of the decimal number that is written, rounded up.

import GradDBQuery
import Testing

@Suite struct BoundLimitsTests {
    @Test(arguments: [
        ("5%", 100, 5), ("5%", 101, 6), ("0.07%", 10_000, 7), ("0.7%", 1_000, 7),
        ("33.333%", 3, 1), ("33.334%", 3, 2), ("100%", 7, 7), ("100.0%", 0, 0), ("1e-9%", 5, 1),
        ("1e-300%", 5, 1), ("1e-300%", 0, 0), ("1.1%", 1_000_000_000, 11_000_000),
        ("50.00000001%", 10_000_000_000, 5_000_000_001), ("1e2%", 12, 12), ("29%", 100, 29),
        ("0.00000000001%", 1_000_000_000_000_000, 100),
    ])
    func percentages(text: String, count: Int, wanted: Int) throws {
        let statement = try Statement.parse("FROM t SCORE self TOP \(text) BOTTOM \(text)")
        let limits = BoundLimits(statement).resolved(of: count)
        #expect(limits.top == wanted && limits.bottom == wanted)
    }

    @Test func otherLimits() throws {
        func resolved(_ clause: String) throws -> [Int] {
            let limits = BoundLimits(try Statement.parse("FROM t SCORE self \(clause)"))
            return [limits.resolved(of: 50).top, limits.resolved(of: 50).bottom]
        }
        #expect(try resolved("") == [10, 0])
        #expect(try resolved("BOTTOM 3") == [0, 3])
        #expect(try resolved("TOP 70") == [70, 0])
        #expect(try resolved("ALL") == [50, 0])
    }
}
