// The columns that SELECT asks for.

import GradDB

/// A column of the answer beside query, rank, end, id and score.
package struct OutputColumn: Equatable, Sendable {
    package enum Source: Equatable, Sendable {
        case id, row, score, rank, checkpoint, query
        /// Of tokens, what their ids say.
        case example, token
        /// Under PER LAYER.
        case layer
        /// Position in the table's fields.
        case field(Int)
        /// Under GROUP BY, what the group's rows have in common.
        case group
        /// Under GROUP BY, how many rows the group has.
        case rowCount
    }

    package var name: String
    package var source: Source
    package var type: FieldType
}

/// Resolves SELECT.
struct ColumnBinder {
    let table: Table
    let statement: Statement
    let grouping: BoundGrouping?

    func columns() throws -> [OutputColumn] {
        var columns: [OutputColumn] = []
        // A list may be as long as a statement.
        var sources: [String: OutputColumn.Source] = [:]
        for item in statement.selection {
            let first = columns.count
            switch item.value {
            case .all: columns += everything
            case .column(let name, let alias):
                guard var column = column(name.value) else { throw unknown(name) }
                column.name = alias?.value ?? name.value
                columns.append(column)
                try refuseCollision(column, sources, item)
            }
            for column in columns[first...] { sources[column.name] = column.source }
        }
        return columns
    }

    /// What `*` stands for.
    private var everything: [OutputColumn] {
        if let grouping {
            return [
                OutputColumn(
                    name: grouping.column.name, source: .group, type: grouping.column.type),
                Self.rowCount,
            ].filter { $0.source == .group || grouping.column.name != Self.rowCount.name }
        }
        return table.fields.enumerated().map { index, field in
            OutputColumn(name: field.name, source: .field(index), type: field.type)
        }
    }

    private static let rowCount = OutputColumn(name: "rows", source: .rowCount, type: .int)

    /// Names beside fields, in the order in which errors list them.
    private var pseudoColumns: [OutputColumn] {
        let idType = grouping?.column.type ?? table.head.idType ?? .int
        var columns = [
            OutputColumn(name: "id", source: .id, type: idType),
            OutputColumn(name: "score", source: .score, type: .float),
            OutputColumn(name: "rank", source: .rank, type: .int),
            OutputColumn(name: "row", source: .row, type: .int),
            OutputColumn(name: "checkpoint", source: .checkpoint, type: .string),
            OutputColumn(name: "query", source: .query, type: .string),
        ]
        if grouping != nil {
            columns.removeAll { $0.source == .row }
        } else {
            let ofTokens: [(name: String, source: OutputColumn.Source)] = [
                ("example", .example), ("token", .token),
            ]
            for (name, source) in ofTokens {
                if let column = table.rowColumns.first(where: { $0.name == name }) {
                    columns.append(OutputColumn(name: name, source: source, type: column.type))
                }
            }
        }
        if statement.isPerLayer {
            columns.append(OutputColumn(name: "layer", source: .layer, type: .string))
        }
        return columns
    }

    private func column(_ name: String) -> OutputColumn? {
        (everything + pseudoColumns).first { $0.name.utf8.elementsEqual(name.utf8) }
    }

    private func unknown(_ name: Located<String>) -> QueryError {
        let names = (everything + pseudoColumns).map(\.name)
        if grouping != nil, table.fields.contains(where: { $0.name == name.value }) {
            return statement.error(
                "groups have no '\(name.value)', only their rows do", at: name.range,
                expected: "one of \(Self.list(names)), or *")
        }
        return statement.error(
            "table '\(table.name)' has no column '\(name.value)'", at: name.range,
            expected: "one of \(Self.list(names)), or *",
            hint: Self.absence[name.value] ?? NearestName.hint(for: name.value, among: names))
    }

    /// Where columns are that not every statement has.
    private static let absence = [
        "layer": "layer is there with PER LAYER", "rows": "rows is there with GROUP BY",
        "example": "example is there in tables of tokens",
        "token": "token is there in tables of tokens",
    ]

    /// A name of the answer means one thing: not two columns, nor a column and one of those that
    /// every answer has.
    private func refuseCollision(
        _ last: OutputColumn, _ sources: [String: OutputColumn.Source],
        _ item: Located<SelectItem>
    ) throws {
        guard case .column(let name, let alias) = item.value else { return }
        let isTaken =
            (sources[last.name] ?? last.source) != last.source
            || (alias != nil && TableSchema.reservedFieldNames.contains(last.name)
                && last.name != name.value)
        guard !isTaken else {
            throw statement.error(
                "the answer has a column '\(last.name)' already", at: (alias ?? name).range,
                expected: "another name behind AS")
        }
    }

    /// Names for a message: the first dozen.
    static func list(_ names: [String]) -> String {
        names.prefix(12).joined(separator: ", ") + (names.count > 12 ? ", …" : "")
    }
}
