// The row numbers of one row group. They are kept once per row group and not in every block, so
// that a block says nothing about the numbering of the table it will be attached to.

package enum RowMap {
    /// New ids get consecutive numbers, so most maps are runs; a scan decodes one for every row
    /// group, and short rows are scored in tens of nanoseconds each.
    private static let run: UInt8 = 1
    private static let differences: UInt8 = 2

    package static func encode(_ rows: [UInt64]) throws -> [UInt8] {
        var bytes: [UInt8] = []
        if let first = rows.first, let last = rows.last, last < .max, isRun(rows) {
            bytes.append(run)
            bytes.append(littleEndian: UInt32(rows.count))
            bytes.append(littleEndian: first)
            return bytes
        }
        bytes.reserveCapacity(4 + rows.count * 8)
        bytes.append(littleEndian: UInt32(rows.count))
        var previous: UInt64 = 0
        for row in rows {
            bytes.append(littleEndian: row &- previous)
            previous = row
        }
        return [differences] + (try Zstd.compress(bytes))
    }

    private static func isRun(_ rows: [UInt64]) -> Bool {
        zip(rows, rows.dropFirst()).allSatisfy { $1 > $0 && $1 - $0 == 1 }
    }

    /// - Parameter count: how many row numbers there must be.
    package static func decode(
        _ stored: UnsafeRawBufferPointer, count expected: Int, what: String
    ) throws -> [UInt64] {
        var reader = ByteReader(stored, what: what)
        switch try reader.integer(UInt8.self) {
        case run:
            let count = UInt64(try reader.integer(UInt32.self))
            let first = try reader.integer(UInt64.self)
            try reader.expectEnd()
            let (end, overflow) = first.addingReportingOverflow(count)
            guard !overflow, count == UInt64(expected) else { throw misfit(what) }
            return Array(first..<end)
        case differences:
            let bytes = try Zstd.decompress(try reader.take(reader.remaining), what: what)
            let rows = try bytes.withUnsafeBytes { try decode(differences: $0, what: what) }
            guard rows.count == expected else { throw misfit(what) }
            return rows
        case let kind: throw GradDBError.corrupt("\(what) is of unknown kind \(kind)")
        }
    }

    private static func misfit(_ what: String) -> GradDBError {
        .corrupt("\(what) does not fit its row group")
    }

    private static func decode(
        differences bytes: UnsafeRawBufferPointer, what: String
    ) throws -> [UInt64] {
        var reader = ByteReader(bytes, what: what)
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
