// What a table has of a row already: its number, the fields that its id was first given.

package struct KnownRows {
    private let store: RocksStore
    private let table: TableDocument
    /// In the newest snapshot.
    private let deleted: DeletedRows

    package init(_ view: TableView) throws {
        store = view.store
        table = view.table.document
        deleted = try view.deletedRows
    }

    /// What the table knows of an id.
    package struct Numbers {
        /// All row numbers that it has had, ascending.
        package var all: [UInt64] = []
        /// The one that it has; nil where it is new, or was deleted.
        package var live: UInt64?
    }

    /// - Parameter limit: the number that the next new row gets.
    package func numbers(of id: RowID, key: [UInt8], below limit: UInt64) throws -> Numbers {
        guard let value = try store.get(.keys, key) else { return Numbers() }
        guard let all = value.withUnsafeBytes(Keys.rowNumbers) else {
            throw GradDBError.corrupt("the key of id \(id) in table '\(table.name)' is malformed")
        }
        // Rows that nobody published and nobody cleaned up: never to be taken for known ones.
        if let row = all.last, row >= limit {
            throw GradDBError.corrupt("the key of id \(id) leads to row \(row), which is not there")
        }
        return Numbers(all: all, live: all.last { !deleted.contains($0) })
    }

    /// All ids of a table are of one type.
    package func check(
        _ id: RowID, isOf idType: FieldType, place: @autoclosure () -> String
    ) throws {
        let type = id.fieldValue.type
        guard type == idType else {
            throw GradDBError.badInput(
                "\(place()): id \(id) is of type \(type.rawValue), but the ids of table "
                    + "'\(table.name)' are of type \(idType.rawValue); give all ids of a table the "
                    + "same type")
        }
    }

    /// A row's fields were set when its id was first seen: earlier snapshots show them.
    package func check(
        _ values: [FieldValue?], areThoseOf row: UInt64, id: RowID,
        place: @autoclosure () -> String
    ) throws {
        guard !values.allSatisfy({ $0 == nil }) else { return }
        let what = "the record of row \(row) in table '\(table.name)'"
        guard let bytes = try store.get(.rows, Keys.row(table: table.table, row)) else {
            throw GradDBError.corrupt("\(what) is missing")
        }
        let known = try bytes.withUnsafeBytes {
            try RowRecord(decoding: $0, fieldCount: table.fields.count, what: what)
        }
        for (field, value) in values.enumerated() {
            guard let value, value != known.values[field] else { continue }
            let before = known.values[field].map { "\($0.text)" } ?? "NULL"
            throw GradDBError.badInput(
                "\(place()): field '\(table.fields[field].name)' of id \(id) is \(value.text), "
                    + "but was set to \(before) when the id was first ingested; leave the field "
                    + "out, or make it equal")
        }
    }
}

extension RowID {
    /// The id as a value of its own column.
    package var fieldValue: FieldValue {
        switch self {
        case .int(let value): .int(value)
        case .string(let value): .string(value)
        }
    }
}

extension FieldValue {
    /// For messages.
    package var text: String {
        switch self {
        case .string(let v): v.count > 60 ? "'\(v.prefix(60))…'" : "'\(v)'"
        case .int(let v): "\(v)"
        case .float(let v): "\(v)"
        case .bool(let v): "\(v)"
        }
    }
}
