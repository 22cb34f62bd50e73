// A condition that fits a table, and the rows it selects: what a scan needs of the language.

import GradDB

/// The condition of a WHERE clause, bound to typed columns.
///
/// It is a value without references: bind once, then evaluate batch after batch, on any thread.
package struct BoundPredicate: Equatable, Sendable {
    /// The columns it reads, each once; fewer than the text names where constants decide.
    package let columns: [Field]
    private let root: PredicateNode

    /// Binds a condition.
    ///
    /// - Parameters:
    ///   - source: the text that the condition was read from, for errors.
    ///   - schema: the columns that can be named, pseudo columns among them; of two with the same
    ///     name the first one is meant.
    ///   - parameters: what the caller binds to `$name`, as text.
    /// - Throws: for an unknown column, function or parameter, and for values that do not fit what
    ///   is done with them.
    package init(
        _ expression: Expression, in source: SourceText, schema: [Field],
        parameters: [String: String] = [:]
    ) throws(QueryError) {
        let types = Dictionary(schema.map { ($0.name, $0.type) }) { first, _ in first }
        let binder = PredicateBinder(
            source: source, names: schema.map(\.name), types: types, parameters: parameters)
        root = try binder.condition(expression)
        columns = root.columns.compactMap { name in
            types[name].map { Field(name: name, type: $0) }
        }
    }

    /// What the predicate is for every row, when no row needs to be looked at; else nil.
    package var constant: Truth? {
        if case .constant(let truth) = root { truth } else { nil }
    }

    /// The rows of a batch for which the predicate is true; unknown is not true.
    ///
    /// Takes time proportional to the rows, plus the dictionary entries of its string columns.
    ///
    /// - Parameters:
    ///   - batch: at least the columns in `columns`, all of the same `rowCount` rows.
    ///   - cancellation: looked at for each part of the condition: it may have many.
    /// - Throws: `.corrupt` for a string that its column's dictionary does not have, `.failed` for
    ///   columns that are not those of `columns`, `.interrupted`.
    package func mask(
        over batch: [String: FieldColumn], rowCount: Int, cancellation: Cancellation? = nil
    ) throws(GradDBError) -> [Bool] {
        var firstRow: UInt64?
        for field in columns {
            guard let column = batch[field.name] else {
                throw GradDBError(.failed, "the column '\(field.name)' was not supplied")
            }
            guard
                column.values.type == field.type, column.values.count == rowCount,
                column.count == rowCount, column.firstRow == firstRow ?? column.firstRow
            else {
                throw GradDBError(
                    .failed,
                    "the column '\(field.name)' does not fit the batch of \(rowCount) rows: "
                        + "it needs as many values of type \(field.type.rawValue)")
            }
            firstRow = column.firstRow
        }
        return try PredicateEvaluator(
            columns: batch, rowCount: rowCount, cancellation: cancellation
        )
        .truth(of: root).mask
    }
}

extension FieldColumn.Values {
    fileprivate var type: FieldType {
        switch self {
        case .int: .int
        case .float: .float
        case .bool: .bool
        case .string: .string
        }
    }

    fileprivate var count: Int {
        switch self {
        case .int(let values): values.count
        case .float(let values): values.count
        case .bool(let values): values.count
        case .string(_, let codes): codes.count
        }
    }
}
