// The rows of a snapshot that a condition is true of, and that may be in an answer.

import GradDB

extension BoundPredicate {
    /// The rows that the snapshot has and of which the condition is true. It is asked of all, run by
    /// run, on several threads.
    ///
    /// - Parameter known: what it says of some runs, by their first rows.
    /// - Throws: `.corrupt`, `.interrupted`.
    func rows(
        of view: TableView, _ options: QueryOptions, known: [UInt64: [Bool]] = [:]
    ) throws -> RowSet {
        let live = try view.liveRows
        if let constant {
            return constant == .yes ? live ?? .all(below: view.rowLimit) : RowSet()
        }
        var rows = RowSet(rowCount: view.rowLimit)
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
        if let live { rows.formIntersection(live) }
        return rows
    }
}

extension BoundQuery {
    /// The rows that may be in an answer; nil where those are all below the snapshot's limit.
    ///
    /// - Parameter known: as for a condition.
    func rows(_ options: QueryOptions, known: [UInt64: [Bool]] = [:]) throws -> RowSet? {
        guard let predicate else { return try view.liveRows }
        return try predicate.rows(of: view, options, known: known)
    }
}
