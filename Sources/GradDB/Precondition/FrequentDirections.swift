// `woodbury`: the directions in which many gradients are large, in bounded memory, by Frequent
// Directions (Ghashami, Liberty, Phillips and Woodruff, SIAM J. Comput. 2016), with what it takes
// away given back in part to all directions (Huang, ICML 2018). With B the sketch and G the
// gradients, BᵀB ≤ GᵀG ≤ BᵀB + Δ I in the order of symmetric matrices, and Δ ≤ |G|²/(r + 1).
//
// A full sketch is shrunk by way of B Bᵀ, which is small: its eigenvectors are B's left singular
// vectors, and the weights that they get here are of at most 1, so that what is off by rounding is
// off by about 10⁻¹⁶ of the largest eigenvalue. The last step, whose V has to be orthonormal, is a
// singular value decomposition.

package final class FrequentDirections: GradientSum {
    /// r: directions that are kept.
    private let rank: Int
    /// B.
    private let sketch: DoubleMatrix
    /// Rows of B in use.
    private(set) var filled = 0
    /// Δ: all that was taken from each direction.
    package private(set) var lost = 0.0
    package private(set) var trace = 0.0
    private let algebra: LinearAlgebra
    private let threads: Int
    private let cancellation: Cancellation

    package init(dims: Int, rank: Int, threads: Int, cancellation: Cancellation) throws {
        self.rank = min(rank, dims)
        sketch = try DoubleMatrix(rows: 2 * self.rank, columns: dims)
        algebra = try LinearAlgebra.required()
        self.threads = threads
        self.cancellation = cancellation
    }

    /// B, as far as it is in use.
    var rows: DoubleBlock { sketch.block[0..<filled] }

    package func add(_ rows: DoubleBlock) throws {
        for index in 0..<rows.rows {
            if filled == sketch.rows { try shrink() }
            let row = rows.row(index)
            _ = sketch.block.row(filled).update(fromContentsOf: row)
            trace += row.reduce(0) { $0 + $1 * $1 }
            filled += 1
        }
    }

    /// Takes σ² of direction r + 1 from the squares of all, so that at most r are left.
    private func shrink() throws {
        try cancellation.check()
        let gram = try self.gram()
        let ascending = try algebra.eigenvalues(gram)
        let squares = ascending.reversed().map { max(0, $0) }
        let taken = rank < squares.count ? negligible(squares[rank], beside: squares[0]) : 0
        lost += taken
        let kept = (0..<rank).filter { squares[$0] > taken }
        let weights = try DoubleMatrix(rows: max(1, kept.count), columns: filled)
        for (row, index) in kept.enumerated() {
            let weight = ((squares[index] - taken) / squares[index]).squareRoot()
            let vector = gram.block.row(filled - 1 - index)
            for column in 0..<filled { weights.block.row(row)[column] = weight * vector[column] }
        }
        try replace(by: weights, rows: kept.count)
    }

    /// Rounding leaves something where nothing is.
    private func negligible(_ square: Double, beside largest: Double) -> Double {
        square > largest * Double(sketch.rows) * .ulpOfOne ? square : 0
    }

    private static let gramTile = 64

    /// B Bᵀ, its lower triangle.
    private func gram() throws -> DoubleMatrix {
        let gram = try DoubleMatrix(rows: filled, columns: filled)
        let (rows, algebra) = (self.rows, self.algebra)
        let tiles = stride(from: 0, to: filled, by: Self.gramTile).map {
            $0..<min(filled, $0 + Self.gramTile)
        }
        let pairs = tiles.indices.flatMap { row in tiles[...row].map { (tiles[row], $0) } }
        try Parallel.forEach(pairs.count, threads: threads) { index, _ in
            let (first, second) = pairs[index]
            algebra.multiply(
                .plain(rows[first]), .transposed(rows[second]), into: gram.block[first, second])
        }
        return gram
    }

    private static let replacedColumns = 4096

    /// B = weights · B.
    private func replace(by weights: DoubleMatrix, rows count: Int) throws {
        let (sketch, filled, algebra) = (self.sketch, self.filled, self.algebra)
        let tiles = (sketch.columns + Self.replacedColumns - 1) / Self.replacedColumns
        try Parallel.forEach(tiles, threads: threads) { tile, _ in
            let columns =
                tile * Self.replacedColumns..<min(sketch.columns, (tile + 1) * Self.replacedColumns)
            let target = sketch.block[0..<count, columns]
            let product = try DoubleMatrix(rows: count, columns: columns.count)
            if count > 0 {
                algebra.multiply(
                    .plain(weights.block), .plain(sketch.block[0..<filled, columns]),
                    into: product.block)
            }
            for row in 0..<count {
                _ = target.row(row).update(fromContentsOf: product.block.row(row))
            }
        }
        self.filled = count
    }

    package func inverse(count: Int, damping: Double) throws -> any InverseMatrix {
        try cancellation.check()
        let (values, vectors) = try algebra.singularVectors(rows)
        let squares = values.map { $0 * $0 }
        let kept = min(rank, squares.count)
        let taken = kept < squares.count ? negligible(squares[kept], beside: squares[0]) : 0
        lost += taken
        let shift = damping + lost / (2 * Double(count))
        guard shift > 0, shift.isFinite, squares.allSatisfy(\.isFinite) else {
            throw NotPositiveDefinite()
        }
        let directions = try DoubleMatrix(rows: kept, columns: sketch.columns)
        _ = directions.numbers.update(
            fromContentsOf: UnsafeMutableBufferPointer(
                rebasing: vectors.numbers[..<directions.numbers.count]))
        return LowRankInverse(
            shift: shift, spectrum: squares[..<kept].map { max(0, $0 - taken) / Double(count) },
            directions: directions, algebra)
    }
}
