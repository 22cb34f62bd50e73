// The rows of a snapshot that a condition is true of.

import GradDB

extension BoundPredicate {
    /// Asks the condition of all rows, run by run, on several threads.
    ///
    /// - Parameter known: what it says of some runs, by their first rows.
    /// - Throws: `.corrupt`, `.interrupted`.
    func rows(
        of view: TableView, _ options: QueryOptions, known: [UInt64: [Bool]] = [:]
    ) throws -> RowSet {
        if let constant { return constant == .yes ? .all(below: view.rowCount) : RowSet() }
        var rows = RowSet(rowCount: view.rowCount)
        let reader = ColumnReader(view)
        let names = columns.map(\.name)
        let starts = try reader.runStarts()
        let masks = try Parallel.map(starts.count, threads: options.threads) { index in
            try options.cancellation.check()
            if let mask = known[starts[index]] { return mask[...] }
            let run = try reader.run(names, startingAt: starts[index])
            let count = run.columns.first?.value.count ?? run.rows.count
            return try mask(
                over: run.columns, rowCount: count, cancellation: options.cancellation
            ).prefix(run.rows.count)
        }
        for (start, mask) in zip(starts, masks) { rows.insert(mask, from: start) }
        return rows
    }
}
