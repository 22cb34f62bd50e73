// The mean of all rows after each was brought to length 1. Sums are made in an order that does not
// depend on threads, so it is the same everywhere.

import GradDB
import Synchronization

struct DirectionMean {
    private let scope: SelectionScope
    private let directory: RowDirectory
    private let copier: RowCopier

    /// The row groups are cut into so many runs; each is summed by one thread.
    private static let runs = 16

    init(_ scope: SelectionScope, _ directory: RowDirectory, _ copier: RowCopier) {
        self.scope = scope
        self.directory = directory
        self.copier = copier
    }

    /// By column, in the original basis.
    func vector(_ progress: @escaping @Sendable (Double) -> Void) throws -> [[Float]] {
        let count = directory.units.count
        let runs = min(Self.runs, count)
        let done = Atomic<Int>(0)
        let sums = try Parallel.map(runs, threads: scope.threads) { [self] run in
            var sums = scope.columns.map { [Double](repeating: 0, count: $0.layer.dims) }
            for unit in run * count / runs..<(run + 1) * count / runs {
                try scope.cancellation.check()
                try add(unit, to: &sums)
                let finished = done.wrappingAdd(1, ordering: .relaxed).newValue
                progress(Double(finished) / Double(count))
            }
            return sums
        }
        return try scope.columns.indices.map { column in
            var mean = sums.reduce(into: [Double](repeating: 0, count: sums[0][column].count)) {
                for i in $0.indices { $0[i] += $1[column][i] }
            }
            for i in mean.indices { mean[i] /= Double(directory.usedCount) }
            var floats = mean.map { Float($0) }
            // Any rows know the basis of their layer.
            let rows = try copier.copy(directory.units[0], [])[column]
            floats.withUnsafeMutableBufferPointer { rows.restore($0) }
            return floats
        }
    }

    private func add(_ unit: Int, to sums: inout [[Double]]) throws {
        let start = directory.starts[unit]
        let used = (start..<directory.starts[unit + 1]).filter { directory.isUsed[$0] }
        guard !used.isEmpty else { return }
        for (column, rows) in try copier.copy(directory.units[unit], used.map { $0 - start })
            .enumerated()
        {
            var row = [Float](repeating: 0, count: sums[column].count)
            for (index, ordinal) in used.enumerated() {
                row.withUnsafeMutableBufferPointer { rows.decode(index, into: $0) }
                let factor = 1 / directory.squaredNorms[ordinal].squareRoot()
                for i in row.indices { sums[column][i] += Double(row[i]) * factor }
            }
        }
    }
}
