// graddb_column as it comes in: ids and fields in the caller's memory.

import CGradDB
import GradDB

/// A column of the caller, checked: every value in it can be read.
struct InputColumn {
    let name: String
    let type: FieldType
    let rows: Int
    private let column: graddb_column

    /// - Parameter what: what errors call it: "ids", or the name of a field.
    /// - Throws: `.badInput`.
    init(_ column: graddb_column, _ what: String? = nil) throws {
        let name = try what ?? text(column.name, "name of a field")
        self.name = name
        self.column = column
        rows = Int(column.rows)
        guard rows >= 0 else {
            throw GradDBError(.badInput, "\(name): \(rows) rows cannot be")
        }
        switch column.type {
        case Int32(GRADDB_STRING): type = .string
        case Int32(GRADDB_INT): type = .int
        case Int32(GRADDB_FLOAT): type = .float
        case Int32(GRADDB_BOOL): type = .bool
        default: throw GradDBError(.badInput, "\(name): there is no type \(column.type)")
        }
        guard rows > 0 else { return }
        let isStrings = type == .string
        guard column.values != nil || isStrings, column.offsets != nil || !isStrings else {
            throw GradDBError(.badInput, "\(name): its \(rows) values are NULL")
        }
        guard isStrings, let offsets = column.offsets else { return }
        for row in 0..<rows where offsets[row] > offsets[row + 1] {
            throw GradDBError(.badInput, "\(name), row \(row): its offsets do not ascend")
        }
        guard offsets[0] >= 0, column.values != nil || offsets[rows] == offsets[0] else {
            throw GradDBError(.badInput, "\(name): its strings are NULL")
        }
    }

    /// The value of a row; nil is NULL.
    func value(_ row: Int) throws -> FieldValue? {
        if let validity = column.validity, validity[row] == 0 { return nil }
        if type == .string { return .string(try string(row)) }
        guard let values = column.values else { return nil }
        switch type {
        case .int: return .int(values.value(row, as: Int64.self))
        case .bool: return .bool(values.value(row, as: UInt8.self) != 0)
        case .float, .string:
            let number = values.value(row, as: Double.self)
            guard number.isFinite else {
                throw GradDBError(
                    .badInput, "\(name), row \(row): \(number) is no number; use NULL")
            }
            return .float(number)
        }
    }

    private func string(_ row: Int) throws -> String {
        guard let offsets = column.offsets, let values = column.values else { return "" }
        let start = Int(offsets[row])
        let bytes = UnsafeRawBufferPointer(
            start: values + start, count: Int(offsets[row + 1]) - start)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw GradDBError(.badInput, "\(name), row \(row): it is not UTF-8")
        }
        return text
    }
}

extension UnsafeRawPointer {
    /// An element of an array of `Value`s, which need not be aligned.
    fileprivate func value<Value: BitwiseCopyable>(_ index: Int, as type: Value.Type) -> Value {
        loadUnaligned(fromByteOffset: index * MemoryLayout<Value>.stride, as: type)
    }
}

/// A column of ids: each a string or an integer, none NULL.
struct IDColumn {
    private let column: InputColumn
    var rows: Int { column.rows }

    init(_ column: graddb_column) throws {
        self.column = try InputColumn(column, "ids")
        guard self.column.type == .string || self.column.type == .int else {
            throw GradDBError(
                .badInput, "ids are strings or integers, not \(self.column.type.rawValue)s")
        }
    }

    func id(_ row: Int) throws -> RowID {
        switch try column.value(row) {
        case .string(let text)?:
            guard !text.isEmpty, text.utf8.count <= RowID.longestStringBytes else {
                throw GradDBError(
                    .badInput,
                    "ids, row \(row): an id has 1 to \(RowID.longestStringBytes) bytes, not "
                        + "\(text.utf8.count)")
            }
            return .string(text)
        case .int(let number)?: return .int(number)
        default: throw GradDBError(.badInput, "ids, row \(row): it is NULL; give every row an id")
        }
    }
}

/// Ids and fields of the rows of one call, as an ingest reads them.
final class ColumnMetadata: MetadataSource {
    let name = "ids and fields"
    private let ids: IDColumn
    /// By position in the table's fields; nil where the caller has left one out.
    private let columns: [InputColumn?]
    private var row = 0

    /// - Throws: `.badInput` for fields that the table does not have, or has in another type, and
    ///   for columns of another length than `rows`.
    init(
        ids: graddb_column, fields: UnsafeBufferPointer<graddb_column>, of table: [Field], rows: Int
    ) throws {
        self.ids = try IDColumn(ids)
        var columns = [InputColumn?](repeating: nil, count: table.count)
        for field in fields {
            let column = try InputColumn(field)
            guard let index = table.firstIndex(where: { $0.name == column.name }) else {
                let known = table.map(\.name).joined(separator: ", ")
                throw GradDBError(
                    .badInput,
                    "the table has no field '\(column.name)'; it has "
                        + (table.isEmpty ? "none" : known))
            }
            guard columns[index] == nil else {
                throw GradDBError(.badInput, "field '\(column.name)' is given twice")
            }
            guard column.type == table[index].type else {
                throw GradDBError(
                    .badInput,
                    "field '\(column.name)' is of type \(table[index].type.rawValue), but its "
                        + "values are of type \(column.type.rawValue)")
            }
            columns[index] = column
        }
        self.columns = columns
        for (word, count) in [("ids", self.ids.rows)]
            + columns.compactMap({ $0.map { ("field '\($0.name)'", $0.rows) } })
        where count != rows {
            throw GradDBError(
                .badInput,
                "there are \(rows) vector rows, but \(count) values of \(word); give one for each "
                    + "row")
        }
    }

    func next() throws(GradDBError) -> MetadataRow? {
        guard row < ids.rows else { return nil }
        defer { row += 1 }
        do {
            return MetadataRow(
                id: try ids.id(row), values: try columns.map { try $0?.value(row) },
                lineNumber: row)
        } catch {
            throw error as? GradDBError ?? .badInput("\(error)")
        }
    }

    /// All rows at once.
    func all() throws -> (ids: [RowID], fields: [[FieldValue?]]) {
        var all: (ids: [RowID], fields: [[FieldValue?]]) = ([], [])
        while let row = try next() {
            all.ids.append(row.id)
            all.fields.append(row.values)
        }
        return all
    }
}
