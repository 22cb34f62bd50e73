// Gives row numbers to ids, and writes what the table keeps of a row beside its vectors: its key,
// its record, its field columns. Everything goes into one write batch, which the commit publishes.
//
// A batch that grows too large is written ahead of the commit ("spilled"). Spilled records have
// row numbers that no published snapshot covers, so no reader sees them; the reservation says that
// they may exist, so that whoever opens the database after a crash removes them first.

package final class RowRegistry {
    /// A batch larger than this is spilled.
    private static let spillBytes = 32 << 20
    /// The number of the id's own column, beside the fields'.
    package static let idColumn = UInt32.max

    private let store: RocksStore
    private let table: TableDocument
    private let known: KnownRows
    private let batch: WriteBatch
    private let willSpill: () throws -> Void
    private let firstNewRow: UInt64
    package private(set) var nextRow: UInt64
    package private(set) var idType: FieldType?
    /// New ids whose keys are still in the batch, by key: Swift's strings are equal when they look
    /// the same, ids when their bytes are.
    private var unspilled: [[UInt8]: UInt64] = [:]
    private var columns: [ColumnBuilder]
    private var idColumn: ColumnBuilder?
    /// Of the new rows' records.
    package private(set) var recordSum: UInt64 = 0
    private let content: ContentHash
    /// Rows that the checkpoint has vectors of in the newest snapshot.
    private let stored: RowSet
    /// Rows of this ingest.
    private var added = RowSet()

    /// - Parameters:
    ///   - view: the newest.
    ///   - checkpoint: the one that the rows are for.
    ///   - willSpill: called once before anything is written ahead; makes it known.
    package init(
        _ view: TableView, checkpoint: CheckpointDocument, batch: WriteBatch, kernels: KernelSet,
        willSpill: @escaping () throws -> Void
    ) throws {
        let head = view.table.head
        store = view.store
        table = view.table.document
        known = try KnownRows(view)
        content = ContentHash(kernels)
        self.batch = batch
        self.willSpill = willSpill
        stored = try view.rows(of: checkpoint)
        firstNewRow = head.nextRow
        nextRow = head.nextRow
        idType = head.idType
        columns = table.fields.map { ColumnBuilder(type: $0.type, firstRow: head.nextRow) }
        idColumn = head.idType.map { ColumnBuilder(type: $0, firstRow: head.nextRow) }
    }

    package var newRows: Int { Int(nextRow - firstNewRow) }

    package enum Outcome: Equatable {
        /// The row's number; its vector is to be stored.
        case accepted(UInt64)
        /// The checkpoint has a vector for this id already, from an earlier ingest.
        case present
        /// The same id came before in this ingest.
        case repeated
    }

    /// Registers one row. `place` says where the row comes from, for errors.
    package func register(
        _ id: RowID, values: [FieldValue?]?, place: @autoclosure () -> String
    ) throws -> Outcome {
        try checkType(of: id, place: place())
        let key = Keys.id(table: table.table, id)
        let numbers = try numbers(of: id, key: key)
        if let row = numbers.live {
            if stored.contains(row) { return .present }
            guard added.insert(row) else { return .repeated }
            if let values { try known.check(values, areThoseOf: row, id: id, place: place()) }
            return .accepted(row)
        }
        let row = nextRow
        nextRow += 1
        added.insert(row)
        try append(
            RowRecord(id: id, values: values ?? table.fields.map { _ in nil }), key: key,
            numbers: numbers.all + [row])
        return .accepted(row)
    }

    private func numbers(of id: RowID, key: [UInt8]) throws -> KnownRows.Numbers {
        if let row = unspilled[key] { return KnownRows.Numbers(all: [row], live: row) }
        return try known.numbers(of: id, key: key, below: nextRow)
    }

    /// Puts the unfinished column blocks into the batch; the last call before the commit.
    package func finish() throws { try flushColumns() }

    /// Writes the batch ahead of the commit when it has grown too large.
    private func spillIfLarge() throws {
        guard batch.byteCount > Self.spillBytes else { return }
        try store.requireRoom(for: batch.byteCount)
        try willSpill()
        try store.write(batch, sync: false)
        batch.clear()
        unspilled.removeAll(keepingCapacity: true)
    }

    // MARK: one row

    /// - Parameter numbers: all that the id has had, the row's last.
    private func append(_ record: RowRecord, key: [UInt8], numbers: [UInt64]) throws {
        guard let row = numbers.last else { return }
        let bytes = record.encode()
        batch.put(.keys, key, Keys.value(rowNumbers: numbers))
        batch.put(.rows, Keys.row(table: table.table, row), bytes)
        recordSum &+= content.record(bytes)
        unspilled[key] = row
        for (field, value) in record.values.enumerated() { columns[field].append(value) }
        idColumn?.append(record.id.fieldValue)
        // All columns of a table are cut at the same rows: a filter reads them side by side.
        if columns.contains(where: \.isFull) || idColumn?.isFull ?? false { try flushColumns() }
        try spillIfLarge()
    }

    private func flushColumns() throws {
        for field in columns.indices {
            if let column = columns[field].take() { try put(column, field: UInt32(field)) }
        }
        if let column = idColumn?.take() { try put(column, field: Self.idColumn) }
    }

    private func put(_ column: FieldColumn, field: UInt32) throws {
        batch.put(
            .fields, Keys.column(table: table.table, field: field, firstRow: column.firstRow),
            try Zstd.compress(column.encode()))
    }

    private func checkType(of id: RowID, place: @autoclosure () -> String) throws {
        guard let idType else {
            idType = id.fieldValue.type
            idColumn = ColumnBuilder(type: id.fieldValue.type, firstRow: nextRow)
            return
        }
        try known.check(id, isOf: idType, place: place())
    }
}
