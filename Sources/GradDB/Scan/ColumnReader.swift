// Reads field columns of a table in row order, block by block: what WHERE evaluates over.

package struct ColumnReader {
    private let view: TableView

    package init(_ view: TableView) { self.view = view }

    /// Calls `body` with runs of consecutive rows, ascending, that together cover every row of
    /// the snapshot; each run has the named columns, of equal first row and count. Fields and
    /// `Table.rowColumns` may be among the names.
    package func forEachRun(
        _ names: [String], _ body: ([String: FieldColumn], Range<UInt64>) throws -> Void
    ) throws {
        let made = Set(names.filter { name in isMade(name) })
        var stored = names.filter { !made.contains($0) }
        let needsIDs = made.contains("example") || made.contains("token")
        if needsIDs, !stored.contains("id") { stored.append("id") }
        let guide = stored.first.map(number) ?? RowRegistry.idColumn
        // All columns of a table are cut at the same rows: the first one leads.
        let prefix = Keys.columnPrefix(table: view.table.document.table, field: guide)
        var covered: UInt64 = 0
        try view.store.forEach(.fields, prefix: prefix) { key, _ in
            let first = UInt64(
                bigEndian: key.loadUnaligned(fromByteOffset: prefix.count, as: UInt64.self))
            guard first < view.rowCount else { return false }
            guard first == covered else {
                throw GradDBError.corrupt(
                    "rows \(covered) to \(first) of table '\(view.table.name)' have no column")
            }
            let lead = try column(guide, firstRow: first)
            let count = lead.count
            var columns: [String: FieldColumn] = [:]
            for name in stored {
                let column = name == stored[0] ? lead : try column(number(name), firstRow: first)
                guard column.count == count, column.firstRow == first,
                    type(of: name).map({ $0 == column.type }) ?? true
                else {
                    throw GradDBError.corrupt(
                        "the column '\(name)' of table '\(view.table.name)' from row \(first) does "
                            + "not fit the schema")
                }
                columns[name] = column
            }
            if needsIDs, let ids = columns["id"] {
                if made.contains("example") { columns["example"] = ids.examples }
                if made.contains("token") { columns["token"] = ids.tokens }
                if !names.contains("id") { columns["id"] = nil }
            }
            if made.contains("row") {
                columns["row"] = FieldColumn(
                    firstRow: first, values: .int((0..<Int64(count)).map { Int64(first) + $0 }),
                    isPresent: Array(repeating: true, count: count))
            }
            covered = first + UInt64(count)
            try body(columns, first..<min(covered, view.rowCount))
            return true
        }
        guard covered >= view.rowCount else {
            throw GradDBError.corrupt(
                "rows \(covered) to \(view.rowCount) of table '\(view.table.name)' have no column")
        }
    }

    /// Whether a column is worked out and not stored.
    private func isMade(_ name: String) -> Bool {
        ["row", "example", "token"].contains(name)
            && !view.table.fields.contains { $0.name == name }
    }

    private func number(_ name: String) -> UInt32 {
        view.table.fields.firstIndex { $0.name == name }.map { UInt32($0) } ?? RowRegistry.idColumn
    }

    private func type(of name: String) -> FieldType? {
        view.table.fields.first { $0.name == name }?.type ?? view.table.head.idType
    }

    private func column(_ field: UInt32, firstRow: UInt64) throws -> FieldColumn {
        let what = "column \(field) of table '\(view.table.name)' from row \(firstRow)"
        let key = Keys.column(table: view.table.document.table, field: field, firstRow: firstRow)
        guard let value = try view.store.pinned(.fields, key) else {
            throw GradDBError.corrupt("\(what) is missing")
        }
        return try value.withBytes { bytes in
            try FieldColumn(decoding: try Zstd.decompress(bytes, what: what), what: what)
        }
    }
}
