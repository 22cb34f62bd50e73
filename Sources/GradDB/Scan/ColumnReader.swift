// Reads field columns of a table in row order, block by block: what WHERE evaluates over.

package struct ColumnReader {
    private let view: TableView

    package init(_ view: TableView) { self.view = view }

    /// Rows that follow each other, and some of their columns by name.
    package typealias Run = (columns: [String: FieldColumn], rows: Range<UInt64>)

    /// Calls `body` with runs of consecutive rows, ascending, that together cover every row of
    /// the snapshot; each run has the named columns, of equal first row and count. Fields and
    /// `Table.rowColumns` may be among the names.
    package func forEachRun(
        _ names: [String], _ body: ([String: FieldColumn], Range<UInt64>) throws -> Void
    ) throws {
        for first in try runStarts() {
            let run = try run(names, startingAt: first)
            try body(run.columns, run.rows)
        }
    }

    /// The first rows of the runs, of which `run` reads each. All columns of a table are cut at the
    /// same rows.
    ///
    /// - Throws: `.corrupt` for rows that have no column.
    package func runStarts() throws -> [UInt64] {
        var starts: [UInt64] = []
        try forEachStart(from: 0) { first in
            starts.append(first)
            return true
        }
        if view.rowLimit > 0, starts.first != 0 { throw missing(from: 0) }
        return starts
    }

    /// The first run that starts at a row or behind it; nil where there is none.
    package func run(_ names: [String], atOrAfter row: UInt64) throws -> Run? {
        var start: UInt64?
        try forEachStart(from: row) { first in
            start = first
            return false
        }
        return try start.map { try run(names, startingAt: $0) }
    }

    /// One run, up to the last row of the snapshot.
    ///
    /// - Throws: `.corrupt` where the columns are not all there, or where another run should follow
    ///   this one and does not.
    package func run(_ names: [String], startingAt first: UInt64) throws -> Run {
        let made = Set(names.filter { name in isMade(name) })
        var stored = names.filter { !made.contains($0) }
        let needsIDs = made.contains("example") || made.contains("token")
        if needsIDs, !stored.contains("id") { stored.append("id") }
        let lead = try column(stored.first.map(number) ?? RowRegistry.idColumn, firstRow: first)
        let count = lead.count
        let end = first + UInt64(count)
        if end < view.rowLimit, try !hasRun(startingAt: end) { throw missing(from: end) }
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
        return (columns, first..<min(end, view.rowLimit))
    }

    // MARK: where runs are

    /// The column that tells where runs are: one whose blocks are small.
    private var guide: UInt32 {
        view.table.fields.firstIndex { $0.type != .string }.map { UInt32($0) }
            ?? RowRegistry.idColumn
    }

    /// Calls `body` with the first rows of runs that start at `row` or behind it, until it returns
    /// false.
    private func forEachStart(from row: UInt64, _ body: (UInt64) throws -> Bool) throws {
        let table = view.table.document.table
        let prefix = Keys.columnPrefix(table: table, field: guide)
        let start = Keys.column(table: table, field: guide, firstRow: row)
        try view.store.forEach(.fields, prefix: prefix, from: start) { key, _ in
            let first = UInt64(
                bigEndian: key.loadUnaligned(fromByteOffset: prefix.count, as: UInt64.self))
            return first < view.rowLimit ? try body(first) : false
        }
    }

    private func hasRun(startingAt row: UInt64) throws -> Bool {
        let key = Keys.column(table: view.table.document.table, field: guide, firstRow: row)
        return try view.store.pinned(.fields, key) != nil
    }

    private func missing(from row: UInt64) -> GradDBError {
        .corrupt("the rows from \(row) of table '\(view.table.name)' have no column")
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
