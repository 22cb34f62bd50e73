// Sums over gradients from which a preconditioner's matrix is made, and the matrices of two kinds;
// the third is FrequentDirections.swift. Sums are in double, and in the same order however many
// threads add.

/// Takes all gradients, batch after batch, and gives the matrix.
package protocol GradientSum: AnyObject {
    /// The sum of all squares: the trace of the sum.
    var trace: Double { get }

    func add(_ rows: DoubleBlock) throws

    /// The inverse of the mean over `count` gradients, damped. To be called once.
    ///
    /// - Throws: `NotPositiveDefinite`.
    func inverse(count: Int, damping: Double) throws -> any InverseMatrix
}

/// The matrix has no inverse, or none worth having.
package struct NotPositiveDefinite: Error {}

package final class DenseSum: GradientSum {
    private let sum: DoubleMatrix
    private let algebra: LinearAlgebra
    private let threads: Int
    private let cancellation: Cancellation

    package init(dims: Int, threads: Int, cancellation: Cancellation) throws {
        sum = try DoubleMatrix(rows: dims, columns: dims)
        algebra = try LinearAlgebra.required()
        self.threads = threads
        self.cancellation = cancellation
    }

    private var order: Int { sum.rows }

    package var trace: Double { (0..<order).reduce(0) { $0 + sum.block.row($1)[$1] } }

    package func add(_ rows: DoubleBlock) throws {
        let all = 0..<rows.rows
        let (sum, algebra) = (self.sum, self.algebra)
        try algebra.forEachTile(of: 0..<order, threads: threads) { tileRows, tileColumns in
            algebra.multiply(
                .transposed(rows[all, tileRows]), .plain(rows[all, tileColumns]), keeping: 1,
                into: sum.block[tileRows, tileColumns])
        }
    }

    package func inverse(count: Int, damping: Double) throws -> any InverseMatrix {
        var largest = 0.0
        for row in 0..<order {
            let numbers = sum.block.row(row)
            for column in 0...row { numbers[column] /= Double(count) }
            numbers[row] += damping
            largest = max(largest, numbers[row])
        }
        let isDefinite = try algebra.factor(sum, threads: threads, cancellation: cancellation)
        // Rounding can turn the pivots of a singular matrix into small positive numbers.
        let least = largest * Double(order) * Double.ulpOfOne
        guard isDefinite,
            (0..<order).allSatisfy({ row in
                let pivot = sum.block.row(row)[row]
                return pivot.isFinite && pivot * pivot > least
            })
        else { throw NotPositiveDefinite() }
        return CholeskyInverse(sum, algebra)
    }
}

package final class DiagonalSum: GradientSum {
    private let sum: DoubleMatrix
    private let threads: Int

    package init(dims: Int, threads: Int) throws {
        sum = try DoubleMatrix(rows: 1, columns: dims)
        self.threads = threads
    }

    package var trace: Double { sum.numbers.reduce(0, +) }

    private static let columnsPerTile = 4096

    package func add(_ rows: DoubleBlock) throws {
        let (sum, dims) = (self.sum.block, self.sum.columns)
        let tiles = (dims + Self.columnsPerTile - 1) / Self.columnsPerTile
        try Parallel.forEach(tiles, threads: threads) { tile, _ in
            let columns = tile * Self.columnsPerTile..<min(dims, (tile + 1) * Self.columnsPerTile)
            let sum = sum.row(0)
            for row in 0..<rows.rows {
                let row = rows.row(row)
                for column in columns { sum[column] += row[column] * row[column] }
            }
        }
    }

    package func inverse(count: Int, damping: Double) throws -> any InverseMatrix {
        let diagonal = sum.numbers.map { $0 / Double(count) + damping }
        guard diagonal.allSatisfy({ $0.isFinite && $0 > 0 }) else { throw NotPositiveDefinite() }
        return DiagonalInverse(diagonal)
    }
}
