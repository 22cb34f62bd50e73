// Sets of row numbers, one bit each: which rows a checkpoint has, which rows pass a filter.

import BitCollections

/// A set of row numbers of one table.
package struct RowSet: Sendable {
    private var bits: BitSet

    package init() { bits = BitSet() }

    /// An empty set with room for the rows below `rowCount`.
    package init(rowCount: UInt64) { bits = BitSet(reservingCapacity: Int(rowCount)) }

    /// The number of rows in the set. Takes time proportional to the highest.
    package var count: Int { bits.count }

    /// The smallest and the largest row in the set; nil where it is empty.
    package var bounds: ClosedRange<UInt64>? {
        guard let first = bits.first, let last = bits.last else { return nil }
        return UInt64(first)...UInt64(last)
    }

    /// Inserts a row; false when it was there.
    @discardableResult
    package mutating func insert(_ row: UInt64) -> Bool { bits.insert(Int(row)).inserted }

    package func contains(_ row: UInt64) -> Bool { bits.contains(Int(row)) }
}
