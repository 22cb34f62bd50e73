// How many rows an answer has.

/// TOP, BOTTOM and ALL as the statement has them.
package struct BoundLimits: Sendable {
    /// Nil is none of them.
    package var top: RowLimit?
    package var bottom: RowLimit?
    /// Every row that has a score, the highest first.
    package var isAll: Bool

    /// Rows of an answer when the statement says nothing of them.
    package static let defaultTop = 10

    package init(_ statement: Statement) {
        isAll = statement.isAll
        bottom = statement.bottom?.value
        let isSaid = statement.top != nil || statement.bottom != nil || statement.isAll
        top = isSaid ? statement.top?.value : .rows(Self.defaultTop)
    }

    /// Whether a share of the rows is asked for, so that they must be counted.
    package var dependOnCount: Bool {
        [top, bottom].contains {
            if case .percent = $0 { true } else { false }
        }
    }

    /// How many are wanted of `count` rows or groups that have a score.
    package func resolved(of count: Int) -> (top: Int, bottom: Int) {
        isAll ? (count, 0) : (Self.rows(top, of: count), Self.rows(bottom, of: count))
    }

    /// A statement may want as many rows as an integer can say, and no table has this many; sums and
    /// sizes of what is wanted stay integers.
    private static let mostRows = 1 << 40

    static func rows(_ limit: RowLimit?, of count: Int) -> Int {
        switch limit {
        case nil: return 0
        case .rows(let rows)?: return min(rows, mostRows)
        case .percent(let percent)?: return share(percent, of: count)
        }
    }
}

extension BoundLimits {
    /// `percent` of `count`, rounded up; of the decimal number that was written, which the shortest
    /// digits of its double are: 0.07 % of 10,000 is 7, though no double is 0.07.
    private static func share(_ percent: Double, of count: Int) -> Int {
        let text = "\(percent)".lowercased()
        let parts = text.split(separator: "e")
        var exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        var digits: UInt128 = 0
        var isFraction = false
        for character in parts[0] {
            guard let digit = character.wholeNumberValue else {
                isFraction = true
                continue
            }
            digits = 10 * digits + UInt128(digit)
            if isFraction { exponent -= 1 }
        }
        // Smaller ones than a row of any table.
        guard exponent > -36 else { return min(1, count) }
        var divisor: UInt128 = 100
        for _ in 0..<max(0, -exponent) {
            let (next, overflow) = divisor.multipliedReportingOverflow(by: 10)
            guard !overflow else { return min(1, count) }
            divisor = next
        }
        for _ in 0..<max(0, exponent) { digits *= 10 }
        let rows = (digits * UInt128(count) + divisor - 1) / divisor
        return min(count, Int(rows))
    }
}
