// Cholesky's factorisation of a large matrix by several threads: panel by panel, what is right of a
// panel is brought up to date before the next one (right-looking; Golub and Van Loan, Matrix
// Computations, 4.2). Tiles are of fixed size, so that the numbers do not depend on the threads.

extension LinearAlgebra {
    private static let panelColumns = 256
    /// Rows and columns that one thread takes at a time.
    package static let tile = 512

    /// Puts L, with L Lᵀ the matrix, in the place of its lower triangle. Nothing above the panels'
    /// diagonal is written.
    ///
    /// - Returns: false where the matrix is not positive definite.
    package func factor(
        _ matrix: DoubleMatrix, threads: Int, cancellation: Cancellation
    ) throws -> Bool {
        let order = matrix.rows
        let block = matrix.block
        for start in stride(from: 0, to: order, by: Self.panelColumns) {
            try cancellation.check()
            let panel = start..<min(order, start + Self.panelColumns)
            let triangle = block[panel, panel]
            guard factor(triangle) else { return false }
            let rest = panel.upperBound..<order
            let tiles = Self.tiles(of: rest)
            try Parallel.forEach(tiles.count, threads: threads) { index, _ in
                solve(block[tiles[index], panel], by: triangle, transposed: true)
            }
            try forEachTile(of: rest, threads: threads) { rows, columns in
                multiply(
                    .plain(block[rows, panel]), .transposed(block[columns, panel]), scale: -1,
                    keeping: 1, into: block[rows, columns])
            }
        }
        return true
    }

    /// Calls `body` with the tiles of the lower triangle over `range`, on several threads.
    package func forEachTile(
        of range: Range<Int>, threads: Int,
        _ body: @escaping @Sendable (_ rows: Range<Int>, _ columns: Range<Int>) throws -> Void
    ) throws {
        let tiles = Self.tiles(of: range)
        let pairs = tiles.indices.flatMap { row in (0...row).map { (row, $0) } }
        try Parallel.forEach(pairs.count, threads: threads) { index, _ in
            try body(tiles[pairs[index].0], tiles[pairs[index].1])
        }
    }

    private static func tiles(of range: Range<Int>) -> [Range<Int>] {
        stride(from: range.lowerBound, to: range.upperBound, by: tile).map {
            $0..<min(range.upperBound, $0 + tile)
        }
    }
}
