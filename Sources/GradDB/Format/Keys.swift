// Keys of every column family, as format-spec/database.md draws them. All integers in keys are
// big-endian, so that RocksDB's byte order is the order of the numbers.

/// The RocksDB column families of a database.
package enum ColumnFamily: String, CaseIterable, Sendable {
    /// RocksDB insists on this one; GradDB stores nothing in it.
    case unused = "default"
    case catalog, keys, rows, fields, blocks

    /// All that goes through the write-ahead log, in the order in which it is flushed.
    package static let records: [ColumnFamily] = [.rows, .fields, .keys, .catalog]
}

/// Where a vector block lives.
package struct BlockKey: Hashable, Sendable, CustomStringConvertible {
    package var table: UInt32
    package var segment: UInt64
    package var rowGroup: UInt32
    package var encoding: UInt32
    package var slab: UInt32

    package static let byteCount = 24

    package init(
        table: UInt32, segment: UInt64, rowGroup: UInt32, encoding: UInt32, slab: UInt32
    ) {
        self.table = table
        self.segment = segment
        self.rowGroup = rowGroup
        self.encoding = encoding
        self.slab = slab
    }

    package var bytes: [UInt8] {
        var key: [UInt8] = []
        key.reserveCapacity(Self.byteCount)
        key.append(bigEndian: table)
        key.append(bigEndian: segment)
        key.append(bigEndian: rowGroup)
        key.append(bigEndian: encoding)
        key.append(bigEndian: slab)
        return key
    }

    package init?(bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.byteCount else { return nil }
        func big<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
            T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        self.init(
            table: big(0, UInt32.self), segment: big(4, UInt64.self),
            rowGroup: big(12, UInt32.self),
            encoding: big(16, UInt32.self), slab: big(20, UInt32.self))
    }

    package var description: String {
        "block (table \(table), segment \(segment), row group \(rowGroup), encoding \(encoding), "
            + "slab \(slab))"
    }
}

/// Key prefixes and keys of the families other than `blocks` and `catalog`.
package enum Keys {
    package static func segmentPrefix(table: UInt32, segment: UInt64) -> [UInt8] {
        var key: [UInt8] = []
        key.append(bigEndian: table)
        key.append(bigEndian: segment)
        return key
    }

    package static func tablePrefix(_ table: UInt32) -> [UInt8] {
        var key: [UInt8] = []
        key.append(bigEndian: table)
        return key
    }

    // `keys`: id -> row number

    package static func id(table: UInt32, _ id: RowID) -> [UInt8] {
        var key = tablePrefix(table)
        switch id {
        case .int(let value):
            key.append(1)
            key.append(bigEndian: UInt64(bitPattern: value) ^ (1 << 63))
        case .string(let text):
            key.append(2)
            key.append(contentsOf: text.utf8)
        }
        return key
    }

    /// The row numbers that a value of `keys` holds, ascending; nil for anything malformed.
    package static func rowNumbers(_ value: UnsafeRawBufferPointer) -> [UInt64]? {
        guard value.count >= 8, value.count % 8 == 0 else { return nil }
        let rows = stride(from: 0, to: value.count, by: 8).map {
            UInt64(littleEndian: value.loadUnaligned(fromByteOffset: $0, as: UInt64.self))
        }
        return zip(rows, rows.dropFirst()).allSatisfy(<) ? rows : nil
    }

    /// What `rowNumbers` reads.
    package static func value(rowNumbers: [UInt64]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(littleEndianArray: rowNumbers)
        return bytes
    }

    // `rows`: row number -> row record

    package static func row(table: UInt32, _ row: UInt64) -> [UInt8] {
        var key = tablePrefix(table)
        key.append(bigEndian: row)
        return key
    }

    // `fields`: column blocks, row maps, preconditioners, deleted rows

    private static let columnKind: UInt8 = 1
    private static let rowMapKind: UInt8 = 2
    private static let preconditionerKind: UInt8 = 3
    private static let normsKind: UInt8 = 4
    private static let deletedRowsKind: UInt8 = 5

    package static func columnPrefix(table: UInt32, field: UInt32) -> [UInt8] {
        var key = tablePrefix(table)
        key.append(columnKind)
        key.append(bigEndian: field)
        return key
    }

    package static func column(table: UInt32, field: UInt32, firstRow: UInt64) -> [UInt8] {
        var key = columnPrefix(table: table, field: field)
        key.append(bigEndian: firstRow)
        return key
    }

    /// The first row of a column block, of its key; nil for anything malformed.
    package static func firstRow(ofColumn key: UnsafeRawBufferPointer) -> UInt64? {
        guard key.count == 17 else { return nil }
        return UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 9, as: UInt64.self))
    }

    package static func rowMapPrefix(table: UInt32, segment: UInt64) -> [UInt8] {
        var key = tablePrefix(table)
        key.append(rowMapKind)
        key.append(bigEndian: segment)
        return key
    }

    package static func rowMap(table: UInt32, segment: UInt64, rowGroup: UInt32) -> [UInt8] {
        var key = rowMapPrefix(table: table, segment: segment)
        key.append(bigEndian: rowGroup)
        return key
    }

    package static func preconditionerPrefix(table: UInt32, preconditioner: UInt32) -> [UInt8] {
        var key = tablePrefix(table)
        key.append(preconditionerKind)
        key.append(bigEndian: preconditioner)
        return key
    }

    package static func piece(
        table: UInt32, preconditioner: UInt32, part: UInt32, piece: UInt32
    ) -> [UInt8] {
        var key = preconditionerPrefix(table: table, preconditioner: preconditioner)
        key.append(bigEndian: part)
        key.append(bigEndian: piece)
        return key
    }

    package static func normsPrefix(table: UInt32, preconditioner: UInt32) -> [UInt8] {
        var key = tablePrefix(table)
        key.append(normsKind)
        key.append(bigEndian: preconditioner)
        return key
    }

    package static func norms(
        table: UInt32, preconditioner: UInt32, segment: UInt64, rowGroup: UInt32
    ) -> [UInt8] {
        var key = normsPrefix(table: table, preconditioner: preconditioner)
        key.append(bigEndian: segment)
        key.append(bigEndian: rowGroup)
        return key
    }

    package static func deletedRowsPrefix(table: UInt32) -> [UInt8] {
        var key = tablePrefix(table)
        key.append(deletedRowsKind)
        return key
    }

    package static func deletedRows(table: UInt32, container: UInt32, snapshot: UInt64) -> [UInt8] {
        var key = deletedRowsPrefix(table: table)
        key.append(bigEndian: container)
        key.append(bigEndian: snapshot)
        return key
    }

    /// The container and the snapshot that a key of deleted rows names; nil for anything malformed.
    package static func deletedRowsPlace(
        _ key: UnsafeRawBufferPointer
    ) -> (container: UInt32, snapshot: UInt64)? {
        guard key.count == 17 else { return nil }
        return (
            UInt32(bigEndian: key.loadUnaligned(fromByteOffset: 5, as: UInt32.self)),
            UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 9, as: UInt64.self))
        )
    }

    /// The smallest key that is greater than every key with this prefix; nil when there is none.
    package static func end(ofPrefix prefix: [UInt8]) -> [UInt8]? {
        var end = prefix
        while let last = end.popLast() {
            if last < 0xFF {
                end.append(last + 1)
                return end
            }
        }
        return nil
    }
}
