// Shares of rows are those of the decimal numbers that were written.

import GradDB
import GradDBQuery
import Testing

@Suite struct SelectionSizeTests {
    @Test(arguments: [
        ("5%", 2_000, 100), ("0.05", 2_000, 100), ("0.07", 100, 7), ("7%", 100, 7),
        ("0.07%", 10_000, 7),
        ("100%", 3, 3), ("1", 3, 3), ("0.001%", 3, 1), ("5e-2", 60, 3), ("33.4%", 1_000, 334),
    ])
    func aFractionIsRoundedUp(text: String, of: Int, rows: Int) throws {
        #expect(try SelectionSize(fraction: text).rows(of: of) == rows)
    }

    @Test(arguments: ["", "%", "0", "0%", "-1%", "101%", "1.01", "x", "5 %", "nan", "inf%"])
    func whatIsNoShareIsRefused(text: String) {
        #expect(throws: GradDBError.self) { try SelectionSize(fraction: text) }
    }

    @Test func aCountIsAtMostAllRows() {
        #expect(SelectionSize.count(5).rows(of: 3) == 3)
        #expect(SelectionSize.count(2).rows(of: 3) == 2)
    }
}
