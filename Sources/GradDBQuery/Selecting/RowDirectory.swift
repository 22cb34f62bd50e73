// The rows of a selection, numbered densely in stored order: their places, numbers and norms.

import GradDB

package struct RowDirectory: Sendable {
    package let units: [ScanUnit]
    /// By unit, the ordinal of its first row; and the number of all rows at the end.
    package let starts: [Int]
    /// By ordinal, as all below: the row's number.
    package let rows: [UInt64]
    /// Over the chosen layers.
    package let squaredNorms: [Double]
    /// What is decoded is longer than the row by this factor, squared.
    package let stretches: [Float]
    /// Rows that pass the condition and are not zero.
    package let isUsed: [Bool]
    /// Rows that pass the condition; and those of them that are zero.
    package let rowCount: Int
    package let zeroCount: Int

    package var usedCount: Int { rowCount - zeroCount }

    private struct Unit: Sendable {
        var rows: [UInt64]
        var squaredNorms: [Double]
        var stretches: [Float]
    }

    package init(_ scope: SelectionScope) throws {
        let units = scope.view.units(of: scope.checkpoint)
        let copier = try RowCopier(scope.view, scope.columns)
        let parts = try Parallel.map(units.count, threads: scope.threads) { index in
            try scope.cancellation.check()
            return try Self.unit(units[index], scope.view, copier)
        }
        self.units = units
        starts = parts.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.rows.count) }
        rows = parts.flatMap(\.rows)
        squaredNorms = parts.flatMap(\.squaredNorms)
        stretches = parts.flatMap(\.stretches)
        let passes = rows.map { scope.filter?.contains($0) ?? true }
        let norms = squaredNorms
        isUsed = passes.indices.map { passes[$0] && norms[$0] > 0 }
        rowCount = passes.count { $0 }
        zeroCount = rowCount - isUsed.count { $0 }
    }

    private static func unit(
        _ unit: ScanUnit, _ view: TableView, _ copier: RowCopier
    ) throws -> Unit {
        let rows = try view.rowMap(unit.segment, group: unit.group)
        var norms = [Double](repeating: 0, count: rows.count)
        var decoded = norms
        for statistics in try copier.statistics(unit) {
            for (row, statistics) in statistics.enumerated() {
                let residual = Double(statistics.residualNorm)
                norms[row] += statistics.squaredNorm
                decoded[row] += statistics.squaredNorm + residual * residual
            }
        }
        let stretches = zip(norms, decoded).map { $0 > 0 ? Float($1 / $0) : 1 }
        return Unit(rows: rows, squaredNorms: norms, stretches: stretches)
    }

    /// The unit that holds a row, and its place there.
    package func place(_ ordinal: Int) -> (unit: Int, index: Int) {
        var low = 0
        var high = units.count - 1
        while low < high {
            let middle = (low + high + 1) / 2
            if starts[middle] <= ordinal { low = middle } else { high = middle - 1 }
        }
        return (low, ordinal - starts[low])
    }

    /// The rows that count, as a scan takes them.
    package func filter(_ view: TableView) -> RowSet {
        var set = RowSet(rowCount: view.rowLimit)
        for ordinal in rows.indices where isUsed[ordinal] { set.insert(rows[ordinal]) }
        return set
    }

    /// Stored rows, in the order of `ordinals`, each with its encoded vector in every column.
    package func copies(
        of ordinals: [Int], _ copier: RowCopier, _ scope: SelectionScope
    ) throws -> [StoredRow] {
        let places = ordinals.enumerated().map { (place: place($1), position: $0) }
            .sorted { ($0.place.unit, $0.place.index) < ($1.place.unit, $1.place.index) }
        var groups: [[(place: (unit: Int, index: Int), position: Int)]] = []
        for place in places {
            if groups.last?.last?.place.unit == place.place.unit {
                groups[groups.count - 1].append(place)
            } else {
                groups.append([place])
            }
        }
        let found = try Parallel.map(groups.count, threads: scope.threads) { [groups] number in
            try scope.cancellation.check()
            let group = groups[number]
            let columns = try copier.copy(
                units[group[0].place.unit], group.map(\.place.index))
            return group.indices.map { index in
                (
                    position: group[index].position,
                    row: StoredRow(columns: columns, index: index)
                )
            }
        }
        return found.joined().sorted { $0.position < $1.position }.map(\.row)
    }
}

/// One row among those that were copied with it.
package struct StoredRow: Sendable {
    let columns: [EncodedRows]
    let index: Int

    /// By column: the row as it is stored, as a query.
    var query: [EncodedQuery] { columns.map { $0.query(index) } }
}
