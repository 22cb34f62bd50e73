// Rows are forgotten: their records, keys and values in columns go. What remains of a row is its number,
// which is never given again.

struct Forgetting {
    private let table: Table
    private let store: RocksStore

    init(_ table: Table) {
        self.table = table
        store = table.store
    }

    /// Column block by column block, each with the records of its rows in one write: what has a record
    /// has all the rest of it. No snapshot has one of `rows`.
    func forget(_ rows: DeletedRows, _ cancellation: Cancellation) throws {
        var gone: [UInt64] = []
        rows.forEachRow { gone.append($0) }
        guard let first = gone.first else { return }
        let id = table.document.table
        // Blocks of all columns are cut at the same rows.
        var starts: [UInt64] = []
        let guide = Keys.columnPrefix(table: id, field: RowRegistry.idColumn)
        try store.forEach(.fields, prefix: guide) { key, _ in
            guard let start = Keys.firstRow(ofColumn: key) else {
                throw GradDBError.corrupt("a key of a column of table '\(table.name)' is malformed")
            }
            starts.append(start)
            return true
        }
        guard let lowest = starts.first, lowest <= first else {
            throw GradDBError.corrupt(
                "the rows from \(first) of table '\(table.name)' have no column")
        }
        var next = 0
        for (index, start) in starts.enumerated() {
            let end = index + 1 < starts.count ? starts[index + 1] : .max
            var part: [UInt64] = []
            while next < gone.count, gone[next] < end {
                part.append(gone[next])
                next += 1
            }
            guard !part.isEmpty else { continue }
            try cancellation.check()
            try forget(part, inBlockFrom: start)
        }
    }

    private func forget(_ rows: [UInt64], inBlockFrom start: UInt64) throws {
        let id = table.document.table
        let batch = WriteBatch(store)
        for field in (0..<UInt32(table.fields.count)) + [RowRegistry.idColumn] {
            let key = Keys.column(table: id, field: field, firstRow: start)
            let what = "column \(field) of table '\(table.name)' from row \(start)"
            guard let value = try store.get(.fields, key) else {
                throw GradDBError.corrupt("\(what) is missing")
            }
            let column = try value.withUnsafeBytes {
                try FieldColumn(decoding: try Zstd.decompress($0, what: what), what: what)
            }
            batch.put(.fields, key, try Zstd.compress(column.without(rows).encode()))
        }
        let gone = Set(rows)
        for row in rows {
            let key = Keys.row(table: id, row)
            guard let record = try store.get(.rows, key) else { continue }
            let what = "the record of row \(row) in table '\(table.name)'"
            let known = try record.withUnsafeBytes {
                try RowRecord(decoding: $0, fieldCount: table.fields.count, what: what)
            }
            try removeKey(of: known.id, gone, batch)
            batch.delete(.rows, key)
        }
        try store.requireRoom(for: batch.byteCount)
        try store.write(batch, sync: true)
    }

    /// Takes all of `rows` out of the numbers of an id: it may have had several of them.
    private func removeKey(of id: RowID, _ rows: Set<UInt64>, _ batch: WriteBatch) throws {
        let key = Keys.id(table: table.document.table, id)
        guard let value = try store.get(.keys, key),
            let numbers = value.withUnsafeBytes(Keys.rowNumbers)
        else { return }
        let left = numbers.filter { !rows.contains($0) }
        if left.isEmpty {
            batch.delete(.keys, key)
        } else {
            batch.put(.keys, key, Keys.value(rowNumbers: left))
        }
    }
}

extension FieldColumn {
    /// The same without the values of some rows, all of them in it.
    fileprivate func without(_ rows: [UInt64]) -> FieldColumn {
        let gone = Set(rows)
        var builder = ColumnBuilder(type: type, firstRow: firstRow)
        for index in 0..<count {
            builder.append(gone.contains(firstRow + UInt64(index)) ? nil : self[index])
        }
        return builder.take() ?? self
    }
}
