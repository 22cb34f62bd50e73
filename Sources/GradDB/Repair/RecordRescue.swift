// Records of a table, brought from a damaged database into a new one. Row records and columns say the
// same twice, and keys follow from them: what is lost of one is made from the other.

/// What became of a table's records.
struct RescuedRecords {
    /// Rows of which nothing can be read.
    var lost = DeletedRows()
    /// Of so many the record, the columns or the key were made anew.
    var restored = 0
    /// Deleted rows of the newest snapshot, as far as they are known.
    var deleted = DeletedRows()
    /// Containers of deleted rows that cannot be read, and whether the newest snapshot sees them.
    var lostContainers: [(container: UInt32, isInNewest: Bool)] = []
    var lostPreconditioners: [PreconditionerDocument] = []
}

final class RecordRescue {
    private let table: Table
    private let id: UInt32
    private let target: RocksStore
    private let cancellation: Cancellation
    private let batch: WriteBatch
    private var result = RescuedRecords()

    init(_ table: Table, to target: RocksStore, _ cancellation: Cancellation) {
        self.table = table
        self.target = target
        self.cancellation = cancellation
        id = table.document.table
        batch = WriteBatch(target)
    }

    func run() throws -> RescuedRecords {
        let columns = try readableColumns()
        if let columns {
            try copyColumns(columns)
        }
        try copyRows(columns: columns)
        try copyRowMaps()
        try copyDeletedRows()
        for preconditioner in table.preconditioners { try copy(preconditioner) }
        try write(force: true)
        return result
    }

    // MARK: rows, columns and keys

    /// First rows of the column blocks; nil unless all columns can be read.
    private func readableColumns() throws -> [UInt64]? {
        do {
            let reader = ColumnReader(try wholeView())
            let starts = try reader.runStarts()
            for start in starts {
                try cancellation.check()
                _ = try reader.run(names, startingAt: start)
            }
            return starts
        } catch let error as GradDBError where error.isDamage {
            return nil
        }
    }

    private var names: [String] { ["id"] + table.fields.map(\.name) }

    /// All rows that were ever numbered.
    private func wholeView() throws -> TableView { try table.view(snapshot: table.head.snapshot) }

    private func copyColumns(_ starts: [UInt64]) throws {
        for start in starts {
            for field in (0..<UInt32(table.fields.count)) + [RowRegistry.idColumn] {
                let key = Keys.column(table: id, field: field, firstRow: start)
                if let value = try table.store.get(.fields, key) { batch.put(.fields, key, value) }
            }
            try write()
        }
    }

    /// Copies records; those that cannot be read are made from columns, or else lost. Without columns,
    /// those are made from the records.
    private func copyRows(columns: [UInt64]?) throws {
        var builders = table.fields.map { ColumnBuilder(type: $0.type, firstRow: 0) }
        var idBuilder = table.head.idType.map { ColumnBuilder(type: $0, firstRow: 0) }
        let cursor = try columns.map { try ColumnCursor(try wholeView(), names: names, starts: $0) }
        for row in 0..<table.head.nextRow {
            if row % 4096 == 0 { try cancellation.check() }
            var record = storedRecord(row)
            var isRestored = columns == nil && record != nil
            if record == nil, let cursor {
                record = try cursor.record(row)
                isRestored = record != nil
            } else if record == nil {
                result.lost.insert(row)
            }
            if let record {
                isRestored = isRestored || !hasKey(record.id, row)
                try put(record, row)
            }
            if isRestored { result.restored += 1 }
            guard columns == nil else { continue }
            for (index, value) in (record?.values ?? table.fields.map { _ in nil }).enumerated() {
                builders[index].append(value)
            }
            idBuilder?.append(record?.id.fieldValue)
            if builders.contains(where: \.isFull) || idBuilder?.isFull ?? false {
                try put(&builders, &idBuilder)
            }
        }
        if columns == nil { try put(&builders, &idBuilder) }
    }

    private func hasKey(_ row: RowID, _ number: UInt64) -> Bool {
        guard let value = try? table.store.get(.keys, Keys.id(table: id, row)) else { return false }
        return value.withUnsafeBytes(Keys.rowNumbers)?.contains(number) ?? false
    }

    private func storedRecord(_ row: UInt64) -> RowRecord? {
        guard let bytes = try? table.store.get(.rows, Keys.row(table: id, row)) else { return nil }
        return try? bytes.withUnsafeBytes {
            try RowRecord(decoding: $0, fieldCount: table.fields.count, what: "")
        }
    }

    private func put(_ record: RowRecord, _ row: UInt64) throws {
        batch.put(.rows, Keys.row(table: id, row), record.encode())
        let key = Keys.id(table: id, record.id)
        // Only where rows were deleted can an id have come twice.
        var numbers: [UInt64] = []
        if mayRepeat {
            if let number = unwritten[key] {
                numbers = number
            } else if let value = try target.get(.keys, key) {
                numbers = value.withUnsafeBytes(Keys.rowNumbers) ?? []
            }
            unwritten[key] = numbers + [row]
        }
        batch.put(.keys, key, Keys.value(rowNumbers: numbers + [row]))
        try write()
    }

    private lazy var mayRepeat = table.snapshots.contains { $0.deleted > 0 }
    /// Keys that are in the batch.
    private var unwritten: [[UInt8]: [UInt64]] = [:]

    private func put(_ builders: inout [ColumnBuilder], _ idBuilder: inout ColumnBuilder?) throws {
        func put(_ column: FieldColumn?, _ field: UInt32) throws {
            guard let column else { return }
            batch.put(
                .fields, Keys.column(table: id, field: field, firstRow: column.firstRow),
                try Zstd.compress(column.encode()))
        }
        for index in builders.indices { try put(builders[index].take(), UInt32(index)) }
        try put(idBuilder?.take(), RowRegistry.idColumn)
        try write()
    }

    // MARK: the rest

    private func copyRowMaps() throws {
        for segment in table.allSegments where segment.base == nil {
            for group in 0..<segment.rowGroups {
                let key = Keys.rowMap(
                    table: id, segment: segment.segment, rowGroup: UInt32(group))
                if let value = try? table.store.get(.fields, key) { batch.put(.fields, key, value) }
            }
            try write()
        }
    }

    /// One by one: their keys are known, and one that cannot be read does not hide the others. It is
    /// marked, as an older version in its place would be believed.
    private func copyDeletedRows() throws {
        guard mayRepeat else { return }
        let containers = table.head.nextRow / UInt64(DeletedRows.rowsPerContainer)
        let versions = versionsOfDeletedRows
        var unreadable: Set<UInt32> = []
        for container in 0...UInt32(containers) {
            for snapshot in versions {
                let key = Keys.deletedRows(table: id, container: container, snapshot: snapshot)
                do {
                    guard let value = try table.store.get(.fields, key) else { continue }
                    let isKnown = value.isEmpty || value.withUnsafeBytes(DeletedRows.isWhole)
                    if !isKnown { unreadable.insert(container) }
                    batch.put(.fields, key, isKnown ? value : DeletedRows.lostValue)
                } catch let error as GradDBError where error.isDamage {
                    unreadable.insert(container)
                    batch.put(.fields, key, DeletedRows.lostValue)
                }
            }
            try write()
        }
        try write(force: true)
        guard table.snapshots.last.map({ $0.deleted > 0 }) ?? false else {
            result.lostContainers = unreadable.sorted().map { ($0, false) }
            return
        }
        var lost: [UInt32] = []
        result.deleted = try DeletedRows(
            rescuedFrom: target, table: id, in: table.head.snapshot, lost: &lost)
        result.lostContainers = unreadable.union(lost).sorted().map { ($0, lost.contains($0)) }
    }

    /// Snapshots that may have changed which rows are deleted: of one that has expired nobody knows.
    private var versionsOfDeletedRows: [UInt64] {
        let others = Set(
            table.snapshots.filter { ![.delete, .restore, .repair].contains($0.operation) }
                .map(\.snapshot))
        return (1...max(1, table.head.snapshot)).filter { !others.contains($0) }
    }

    private func copy(_ preconditioner: PreconditionerDocument) throws {
        var isWhole = true
        func copy(_ key: [UInt8]) throws {
            guard let value = try? table.store.get(.fields, key) else {
                isWhole = false
                return
            }
            batch.put(.fields, key, value)
            try write()
        }
        for part in preconditioner.parts {
            let count =
                (Int(part.bytes) / 8 + NumberWriter.pieceCount - 1) / NumberWriter.pieceCount
            for piece in 0..<UInt32(count) {
                try copy(
                    Keys.piece(
                        table: id, preconditioner: preconditioner.number, part: part.part,
                        piece: piece))
            }
        }
        for segment in table.allSegments where preconditioner.hasNorms(of: segment) {
            guard segment.base == nil else { continue }
            for group in 0..<segment.rowGroups {
                try copy(
                    Keys.norms(
                        table: id, preconditioner: preconditioner.number,
                        segment: segment.segment, rowGroup: UInt32(group)))
            }
        }
        if !isWhole { result.lostPreconditioners.append(preconditioner) }
    }

    private func write(force: Bool = false) throws {
        guard batch.byteCount > 16 << 20 || force, batch.byteCount > 0 else { return }
        try target.requireRoom(for: batch.byteCount)
        try target.write(batch, sync: false)
        batch.clear()
        unwritten.removeAll(keepingCapacity: true)
    }
}

/// Reads rows out of columns, in ascending order.
private final class ColumnCursor {
    private let view: TableView
    private let reader: ColumnReader
    private let names: [String]
    private var starts: ArraySlice<UInt64>
    private var run: ColumnReader.Run?

    init(_ view: TableView, names: [String], starts: [UInt64]) throws {
        self.view = view
        self.names = names
        self.starts = starts[...]
        reader = ColumnReader(view)
    }

    /// Nil for a row that has been forgotten.
    func record(_ row: UInt64) throws -> RowRecord? {
        while run.map({ $0.rows.upperBound <= row }) ?? true {
            guard let start = starts.popFirst() else { return nil }
            run = try reader.run(names, startingAt: start)
        }
        guard let run, run.rows.contains(row) else { return nil }
        let index = Int(row - run.rows.lowerBound)
        let id: RowID
        switch run.columns["id"]?[index] {
        case .int(let number)?: id = .int(number)
        case .string(let text)?: id = .string(text)
        default: return nil
        }
        return RowRecord(id: id, values: view.table.fields.map { run.columns[$0.name]?[index] })
    }
}
