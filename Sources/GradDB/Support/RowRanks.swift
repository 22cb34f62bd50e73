// How many rows of a set come before one of them.

package struct RowRanks: Sendable {
    private let words: [UInt64]
    /// Rows in the words before each one.
    private let before: [UInt64]

    package init(_ rows: RowSet) {
        words = rows.words
        var sum: UInt64 = 0
        before = words.map { word in
            defer { sum += UInt64(word.nonzeroBitCount) }
            return sum
        }
    }

    /// The place of a row that is in the set, counted from 0.
    package func rank(of row: UInt64) -> UInt64 {
        let word = Int(row / 64)
        let below = words[word] & ((1 << (row % 64)) - 1)
        return before[word] + UInt64(below.nonzeroBitCount)
    }
}
