// What a database's readers may see of the families other than `blocks` and `keys`: not what
// unfinished writers have put there already, nor what an interrupted clean-up has still to remove.

struct CommittedRecords {
    private let store: RocksStore
    private let tables: [UInt32: TableRecords]

    private struct TableRecords {
        let nextRow: UInt64
        let segments: Set<UInt64>
        let preconditioners: Set<UInt32>
    }

    init(_ tables: [Table], in store: RocksStore) {
        self.store = store
        self.tables = Dictionary(
            uniqueKeysWithValues: tables.map { table in
                let records = TableRecords(
                    nextRow: table.head.nextRow, segments: Set(table.allSegments.map(\.segment)),
                    preconditioners: Set(table.preconditioners.map(\.number)))
                return (table.document.table, records)
            })
    }

    /// Calls `body` with every entry of a family, in ascending order of the keys.
    func forEach(
        _ family: ColumnFamily,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try store.forEach(family, prefix: []) { key, value in
            if try holds(family, key) { try body(key, value) }
            return true
        }
    }

    private func holds(_ family: ColumnFamily, _ bytes: UnsafeRawBufferPointer) throws -> Bool {
        if family == .catalog { return !bytes.starts(with: Catalog.Key.reservations.utf8) }
        guard let number = Self.big(bytes, 0, UInt32.self), let table = tables[number] else {
            return false
        }
        func hasRow(at offset: Int) -> Bool {
            Self.big(bytes, offset, UInt64.self).map { $0 < table.nextRow } ?? false
        }
        func hasSegment(at offset: Int) -> Bool {
            Self.big(bytes, offset, UInt64.self).map(table.segments.contains) ?? false
        }
        func hasPreconditioner(at offset: Int) -> Bool {
            Self.big(bytes, offset, UInt32.self).map(table.preconditioners.contains) ?? false
        }
        if family == .rows { return hasRow(at: 4) }
        return switch Keys.fieldsKind(bytes) {
        case .column: hasRow(at: 9)
        case .rowMap: hasSegment(at: 5)
        case .preconditioner: hasPreconditioner(at: 5)
        case .norms: hasPreconditioner(at: 5) && hasSegment(at: 9)
        case .other: true
        }
    }

    /// A big-endian number in a key.
    private static func big<T: FixedWidthInteger>(
        _ bytes: UnsafeRawBufferPointer, _ offset: Int, _: T.Type
    ) -> T? {
        guard bytes.count >= offset + MemoryLayout<T>.size else { return nil }
        return T(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }
}

extension Keys {
    /// What an entry of `fields` is.
    enum FieldsKind { case column, rowMap, preconditioner, norms, other }

    static func fieldsKind(_ key: UnsafeRawBufferPointer) -> FieldsKind {
        guard key.count > 4 else { return .other }
        return switch key[4] {
        case 1: .column
        case 2: .rowMap
        case 3: .preconditioner
        case 4: .norms
        default: .other
        }
    }
}
