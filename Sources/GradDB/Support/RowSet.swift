// Sets of row numbers, one bit each: which rows a checkpoint has, which rows pass a filter. Row
// numbers are dense, and a scan asks for every one of them: so plain words, without a library's
// bookkeeping for each bit.

/// A set of row numbers of one table.
package struct RowSet: Sendable {
    fileprivate(set) var words: [UInt64] = []

    package init() {}

    /// An empty set with room for the rows below `rowCount`.
    package init(rowCount: UInt64) {
        words = [UInt64](repeating: 0, count: (Int(rowCount) + 63) / 64)
    }

    /// The number of rows in the set. Takes time proportional to the highest.
    package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

    /// The smallest and the largest row in the set; nil where it is empty.
    package var bounds: ClosedRange<UInt64>? {
        guard let first = words.firstIndex(where: { $0 != 0 }),
            let last = words.lastIndex(where: { $0 != 0 })
        else { return nil }
        return UInt64(
            first * 64 + words[first].trailingZeroBitCount)...UInt64(
                last * 64 + 63 - words[last].leadingZeroBitCount)
    }

    /// Inserts a row; false when it was there.
    @discardableResult
    package mutating func insert(_ row: UInt64) -> Bool {
        let word = Int(row / 64)
        grow(toHold: word)
        let bit: UInt64 = 1 << (row % 64)
        defer { words[word] |= bit }
        return words[word] & bit == 0
    }

    /// Inserts of the rows from `first` on those for which `mask` says so.
    package mutating func insert(_ mask: ArraySlice<Bool>, from first: UInt64) {
        guard !mask.isEmpty else { return }
        grow(toHold: (Int(first) + mask.count - 1) / 64)
        var word = Int(first / 64)
        var bit = first % 64
        var bits: UInt64 = 0
        for isMember in mask {
            bits |= (isMember ? 1 : 0) << bit
            bit += 1
            guard bit == 64 else { continue }
            words[word] |= bits
            (word, bit, bits) = (word + 1, 0, 0)
        }
        if bits != 0 { words[word] |= bits }
    }

    /// All rows below a number.
    package static func all(below rowCount: UInt64) -> RowSet {
        var rows = RowSet()
        rows.words = [UInt64](repeating: .max, count: Int(rowCount / 64))
        if rowCount % 64 > 0 { rows.words.append((1 << (rowCount % 64)) - 1) }
        return rows
    }

    /// In ascending order.
    package func forEachRow(_ body: (UInt64) throws -> Void) rethrows {
        for (index, word) in words.enumerated() {
            var left = word
            while left != 0 {
                try body(UInt64(index * 64 + left.trailingZeroBitCount))
                left &= left - 1
            }
        }
    }

    /// Takes the rows out that are in `words`, the first of which is that of row 64 · `first`.
    package mutating func subtract(_ words: [UInt64], fromWord first: Int) {
        for (index, word) in words.enumerated() where first + index < self.words.count {
            self.words[first + index] &= ~word
        }
    }

    package mutating func formUnion(_ other: RowSet) {
        if other.words.count > words.count { grow(toHold: other.words.count - 1) }
        for index in other.words.indices { words[index] |= other.words[index] }
    }

    /// Takes out all that are in `other`.
    package mutating func formSubtraction(_ other: RowSet) { subtract(other.words, fromWord: 0) }

    /// Takes out all that are not in `other`.
    package mutating func formIntersection(_ other: RowSet) {
        for index in words.indices {
            words[index] &= index < other.words.count ? other.words[index] : 0
        }
    }

    package func contains(_ row: UInt64) -> Bool {
        let word = Int(row / 64)
        return word < words.count && words[word] >> (row % 64) & 1 == 1
    }

    private mutating func grow(toHold word: Int) {
        guard word >= words.count else { return }
        words.append(
            contentsOf: repeatElement(0, count: max(word + 1, 2 * words.count) - words.count))
    }
}
