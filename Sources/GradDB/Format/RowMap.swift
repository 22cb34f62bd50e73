// The row numbers of one row group. They are kept once per row group and not in every block, so
// that a block says nothing about the numbering of the table it will be attached to.

package enum RowMap {
    /// A count, then the differences between neighbours (wrapping), which compress to almost
    /// nothing for the usual run of consecutive numbers.
    package static func encode(_ rows: [UInt64]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 + rows.count * 8)
        bytes.append(littleEndian: UInt32(rows.count))
        var previous: UInt64 = 0
        for row in rows {
            bytes.append(littleEndian: row &- previous)
            previous = row
        }
        return bytes
    }

    package static func decode(_ bytes: [UInt8], what: String) throws -> [UInt64] {
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw, what: what)
            let count = Int(try reader.integer(UInt32.self))
            var rows = try reader.array(of: UInt64.self, count: count)
            try reader.expectEnd()
            var previous: UInt64 = 0
            for i in rows.indices {
                previous &+= rows[i]
                rows[i] = previous
            }
            return rows
        }
    }
}
