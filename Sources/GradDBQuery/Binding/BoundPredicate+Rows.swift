// The rows of a snapshot that a condition is true of.

import GradDB

extension BoundPredicate {
    /// Evaluates the condition over the table's columns, block by block.
    ///
    /// - Throws: `.corrupt`, `.interrupted`.
    func rows(of view: TableView, _ cancellation: Cancellation) throws -> RowSet {
        var rows = RowSet(rowCount: view.rowCount)
        if let constant {
            if constant == .yes { for row in 0..<view.rowCount { rows.insert(row) } }
            return rows
        }
        try ColumnReader(view).forEachRun(columns.map(\.name)) { columns, run in
            try cancellation.check()
            let count = columns.first?.value.count ?? run.count
            let mask = try mask(over: columns, rowCount: count)
            for (index, row) in run.enumerated() where mask[index] { rows.insert(row) }
        }
        return rows
    }
}
