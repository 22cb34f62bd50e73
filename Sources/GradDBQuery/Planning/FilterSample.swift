// A condition asked of a few runs of rows: what it costs and how much it keeps, before it is asked
// of all of them.

import GradDB

/// What a condition is expected to do to a table.
package struct FilterSample: Sendable {
    /// Seconds for reading its columns and asking, for each row of the table.
    package let secondsPerRow: Double
    /// The share of rows that pass.
    package let share: Double
    /// Which rows passed, by the first row of their run: how they lie together decides what has to
    /// be read, and nobody need ask them again.
    package let masks: [UInt64: [Bool]]

    /// Runs that are looked at, spread over the table.
    private static let count = 3

    /// - Throws: `.corrupt`, `.io`, `.interrupted`.
    package init(
        _ predicate: BoundPredicate, _ view: TableView, _ cancellation: Cancellation
    ) throws {
        let reader = ColumnReader(view)
        let names = predicate.columns.map(\.name)
        var masks: [UInt64: [Bool]] = [:]
        var rows = 0
        let started = ContinuousClock.now
        for number in 0..<Self.count {
            let start = view.rowLimit / UInt64(Self.count) * UInt64(number)
            guard let (columns, range) = try reader.run(names, atOrAfter: start),
                masks[range.lowerBound] == nil
            else { continue }
            let count = columns.first?.value.count ?? range.count
            let mask = try predicate.mask(
                over: columns, rowCount: count, cancellation: cancellation)
            masks[range.lowerBound] = Array(mask.prefix(range.count))
            rows += range.count
        }
        let seconds = (ContinuousClock.now - started).seconds
        self.masks = masks
        secondsPerRow = seconds / Double(max(1, rows))
        let passed = masks.values.joined().count { $0 }
        // A condition that nothing passed may yet keep a row or two.
        share = (Double(passed) + 0.5) / Double(rows + 1)
    }

    /// The share of pieces of `rows` neighbouring rows that hold one which passes.
    package func share(ofPiecesOf rows: Int) -> Double {
        guard rows > 1 else { return share }
        var touched = 0
        var pieces = 0
        for run in masks.values {
            for first in stride(from: 0, to: run.count, by: rows) {
                pieces += 1
                if run[first..<min(run.count, first + rows)].contains(true) { touched += 1 }
            }
        }
        return (Double(touched) + 0.5) / Double(pieces + 1)
    }
}
