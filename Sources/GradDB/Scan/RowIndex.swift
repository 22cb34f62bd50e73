// Where the rows of a checkpoint lie. New ids get consecutive numbers, so row maps are mostly runs, and
// what is kept is runs.

/// Places of a checkpoint's rows by row number.
package struct RowIndex: Sendable {
    private struct Run: Sendable {
        var first: UInt64
        var count: UInt32
        var unit: UInt32
        /// Of the first row, within the row group.
        var index: UInt32
    }

    /// Ascending.
    private let runs: [Run]

    /// A row's row group, and its place there.
    package struct Place: Equatable, Sendable {
        package var unit: Int
        package var index: Int
    }

    /// - Parameter units: the row groups of one checkpoint.
    /// - Throws: `.corrupt`, `.io`, `.interrupted`.
    package init(
        _ view: TableView, _ units: [ScanUnit], threads: Int, _ cancellation: Cancellation
    ) throws {
        let parts = try Parallel.map(units.count, threads: threads) { unit in
            try cancellation.check()
            let rows = try view.rowMap(units[unit].segment, group: units[unit].group)
            var runs: [Run] = []
            for (index, row) in rows.enumerated() {
                if let last = runs.last, last.first + UInt64(last.count) == row {
                    runs[runs.count - 1].count += 1
                } else {
                    runs.append(
                        Run(first: row, count: 1, unit: UInt32(unit), index: UInt32(index)))
                }
            }
            return runs
        }
        runs = parts.flatMap { $0 }.sorted { $0.first < $1.first }
    }

    /// Where a row lies; nil where the checkpoint lacks it.
    package func place(of row: UInt64) -> Place? {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].first <= row { low = middle + 1 } else { high = middle }
        }
        guard low > 0 else { return nil }
        let run = runs[low - 1]
        let offset = row - run.first
        guard offset < UInt64(run.count) else { return nil }
        return Place(unit: Int(run.unit), index: Int(run.index) + Int(offset))
    }
}
