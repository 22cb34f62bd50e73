// A condition asked of single rows: their records become columns, of which it is asked as of any.

import GradDB

/// Which of some rows pass a condition; each row is asked once.
struct RecordFilter {
    private let predicate: BoundPredicate
    private let view: TableView
    private let cancellation: Cancellation
    /// By row number.
    private var known: [UInt64: Bool] = [:]

    init(_ predicate: BoundPredicate, _ view: TableView, _ cancellation: Cancellation) {
        self.predicate = predicate
        self.cancellation = cancellation
        self.view = view
    }

    /// Whether each of the rows passes.
    ///
    /// - Throws: `.corrupt`, `.io`.
    mutating func passes(_ rows: [UInt64]) throws -> [Bool] {
        let unknown = rows.filter { known[$0] == nil }
        if !unknown.isEmpty {
            let mask = try ask(unknown)
            for (row, passes) in zip(unknown, mask) { known[row] = passes }
        }
        return rows.map { known[$0] ?? false }
    }

    private func ask(_ rows: [UInt64]) throws -> [Bool] {
        let records = try rows.map { try view.record(row: $0) }
        var columns: [String: FieldColumn] = [:]
        for field in predicate.columns {
            let position = view.table.fields.firstIndex { $0.name == field.name }
            let values = zip(rows, records).map { row, record in
                if let position { return record.values[position] }
                return Self.value(field.name, of: record.id, row: row)
            }
            columns[field.name] = FieldColumn(values, type: field.type)
        }
        return try predicate.mask(
            over: columns, rowCount: rows.count, cancellation: cancellation)
    }
}

extension RecordFilter {
    /// What a row has beside its fields (`Table.rowColumns`).
    private static func value(_ column: String, of id: RowID, row: UInt64) -> FieldValue? {
        switch column {
        case "id": id.fieldValue
        case "row": .int(Int64(row))
        case "example": .string(TokenID(id).example)
        case "token": TokenID(id).token.map { .int($0) }
        default: nil
        }
    }
}

extension FieldColumn {
    /// A column of values that do not follow each other in the table.
    fileprivate init(_ values: [FieldValue?], type: FieldType) {
        let isPresent = values.map { $0?.type == type }
        let column: Values =
            switch type {
            case .int:
                .int(values.map { if case .int(let value)? = $0 { value } else { 0 } })
            case .float:
                .float(values.map { if case .float(let value)? = $0 { value } else { 0 } })
            case .bool:
                .bool(values.map { if case .bool(let value)? = $0 { value } else { false } })
            case .string:
                .string(
                    dictionary: values.map {
                        if case .string(let value)? = $0 { value } else { "" }
                    }, codes: values.indices.map { UInt32($0) })
            }
        self.init(firstRow: 0, values: column, isPresent: isPresent)
    }
}
