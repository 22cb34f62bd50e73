// The rows that a selection chose.

import GradDB

public struct SelectionResult: Sendable {
    private let view: TableView
    package let rows: [ChosenRow]
    /// Rows that they were chosen from.
    public let candidates: Int
    /// Rows that were left out because they are zero.
    public let zeroRows: Int
    /// Of a coreset: the largest cosine distance of a row to the nearest chosen one.
    public let radius: Double?
    public let isResumed: Bool
    private let progress: SelectionProgress

    package init(
        view: TableView, rows: [ChosenRow], candidates: Int, zeroRows: Int, radius: Double?,
        isResumed: Bool, progress: SelectionProgress
    ) {
        self.view = view
        self.rows = rows
        self.candidates = candidates
        self.zeroRows = zeroRows
        self.radius = radius
        self.isResumed = isResumed
        self.progress = progress
    }

    /// Forgets the progress: once the rows have been written.
    public func finish() throws { try progress.remove() }

    public var count: Int { rows.count }
    public var snapshot: UInt64 { view.snapshot }

    /// The row of a rank, from 0, with all its fields.
    package func json(_ index: Int) throws -> JSONObject {
        let record = try view.record(row: rows[index].row)
        var object = JSONObject([
            ("rank", .int(Int64(index + 1))), ("id", record.id.json),
            ("score", .float(rows[index].score)),
        ])
        for (field, value) in zip(view.table.fields, record.values) {
            object.append(field.name, value.json)
        }
        return object
    }
}
