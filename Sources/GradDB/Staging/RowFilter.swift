// Which rows of a batch a rank stores, leaves out or refuses, looking at ids and fields alone.

struct RowFilter {
    private let view: TableView
    private let known: KnownRows
    private let kernels: KernelSet
    private let resume: Bool
    /// Rows that the checkpoint has vectors of.
    private let stored: RowSet
    private var idType: FieldType?
    /// In journals, when the rank was opened.
    private var earlier: IDSet
    /// Of this process.
    private var added: IDSet
    /// Of the batch being looked at.
    private var batch: IDSet
    private var batchType: FieldType?
    let noFields: [FieldValue?]

    init(_ view: TableView, checkpoint: String, resume: Bool, kernels: KernelSet) throws {
        self.view = view
        self.kernels = kernels
        self.resume = resume
        known = try KnownRows(view)
        stored = try view.checkpoint(named: checkpoint).map { try view.rows(of: $0) } ?? RowSet()
        idType = view.table.head.idType
        earlier = IDSet(kernels)
        added = IDSet(kernels)
        batch = IDSet(kernels)
        noFields = view.table.fields.map { _ in nil }
    }

    /// Remembers the ids of pairs.
    mutating func learn(_ pairs: [StagedPair], of rank: RankDirectory) throws {
        let table = view.table.document.table
        for pair in pairs {
            try StagedRecords.forEach(
                pair, of: rank, fieldCount: view.table.fields.count, kernels: kernels
            ) { _, record in
                idType = idType ?? record.id.fieldValue.type
                earlier.insert(Keys.id(table: table, record.id))
            }
        }
    }

    /// Positions of the rows to store; they count as seen when `takeKept` follows.
    mutating func rows(
        toKeepOf ids: [RowID], fields: [[FieldValue?]]?, place: (Int) -> String
    ) throws -> [Int] {
        batch.removeAll()
        batchType = idType
        var kept: [Int] = []
        for (index, id) in ids.enumerated() {
            let fields = fields?[index]
            try check(id, fields, place: place(index))
            if try isNew(id, fields, place: place(index)) { kept.append(index) }
        }
        return kept
    }

    mutating func takeKept() {
        idType = batchType
        added.formUnion(batch)
    }

    private mutating func isNew(
        _ id: RowID, _ fields: [FieldValue?]?, place: @autoclosure () -> String
    ) throws -> Bool {
        let key = Keys.id(table: view.table.document.table, id)
        let row = try known.numbers(of: id, key: key, below: view.rowLimit).live
        let isStored = row.map { stored.contains($0) } ?? false
        if isStored || earlier.contains(key) {
            guard resume else {
                throw GradDBError.badInput(
                    "\(place()): the \(isStored ? "checkpoint" : "staged ingest") has a vector for "
                        + "id \(id) already; remove the duplicate, or leave such rows out with "
                        + "--resume")
            }
            return false
        }
        guard !added.contains(key), batch.insert(key) else {
            throw GradDBError.badInput(
                "\(place()): id \(id) already came earlier in this rank; remove the duplicate")
        }
        if let row, let fields {
            try known.check(fields, areThoseOf: row, id: id, place: place())
        }
        return true
    }

    private mutating func check(
        _ id: RowID, _ values: [FieldValue?]?, place: @autoclosure () -> String
    ) throws {
        if case .string(let text) = id, !(1...RowID.longestStringBytes).contains(text.utf8.count) {
            throw GradDBError.badInput(
                "\(place()): the id has \(text.utf8.count) bytes; an id has 1 to "
                    + "\(RowID.longestStringBytes)")
        }
        if let batchType {
            try known.check(id, isOf: batchType, place: place())
        } else {
            batchType = id.fieldValue.type
        }
        guard let values else { return }
        let fields = view.table.fields
        guard values.count == fields.count else {
            throw GradDBError.badInput(
                "\(place()) (id \(id)): there are \(values.count) fields, but the table has "
                    + "\(fields.count)")
        }
        for (field, value) in zip(fields, values) {
            guard let value else { continue }
            guard value.type == field.type else {
                throw GradDBError.badInput(
                    "\(place()) (id \(id)): field '\(field.name)' is \(value.text), of type "
                        + "\(value.type.rawValue), but must be of type \(field.type.rawValue)")
            }
            if case .float(let number) = value, !number.isFinite {
                throw GradDBError.badInput(
                    "\(place()) (id \(id)): field '\(field.name)' is \(number); a value that is "
                        + "not known is left out")
            }
        }
    }
}
