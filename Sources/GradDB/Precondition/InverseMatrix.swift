// What a preconditioner's matrix H is once it has been made: a way to compute H⁻¹g and gᵀH⁻¹g, and a
// sequence of numbers that are stored. One file per kind implements this.

package protocol InverseMatrix: Sendable {
    var dims: Int { get }
    /// Rows of V; 0 for kinds that have none.
    var rank: Int { get }

    /// Puts H⁻¹g in the place of each row g.
    func apply(to rows: DoubleBlock) throws

    /// gᵀH⁻¹g of each row g. The rows are lost.
    func squaredNorms(_ rows: DoubleBlock) throws -> [Double]

    /// Calls `body` with the numbers that are stored, in their order, in runs.
    func forEachRun(_ body: (UnsafeBufferPointer<Double>) throws -> Void) rethrows
}

extension InverseMatrix {
    package var rank: Int { 0 }

    /// Rows that one thread takes at a time: enough to be worth a pass over the matrix.
    private var rowsPerTile: Int { 64 }

    /// `squaredNorms` on several threads.
    package func squaredNorms(_ rows: DoubleBlock, threads: Int) throws -> [Double] {
        let tiles = stride(from: 0, to: rows.rows, by: rowsPerTile).map {
            $0..<min(rows.rows, $0 + rowsPerTile)
        }
        return try Parallel.map(tiles.count, threads: threads) { index in
            try squaredNorms(rows[tiles[index]])
        }.flatMap(\.self)
    }
}

extension DoubleBlock {
    /// Sum of squares of each row.
    func rowSquares() -> [Double] {
        (0..<rows).map { row in self.row(row).reduce(0) { $0 + $1 * $1 } }
    }
}

/// Reads the numbers of a part, in their order.
package protocol NumberSource: AnyObject {
    func read(into target: UnsafeMutableBufferPointer<Double>) throws
}

extension PreconditionerDocument.Part {
    /// The matrix that the numbers are.
    ///
    /// - Throws: `.corrupt` where they cannot be those of such a matrix.
    package func matrix(dims: Int, reading numbers: any NumberSource) throws -> any InverseMatrix {
        switch kind {
        case .dense: try CholeskyInverse(dims: dims, reading: numbers)
        case .diagonal: try DiagonalInverse(dims: dims, reading: numbers)
        case .woodbury: try LowRankInverse(dims: dims, rank: rank, reading: numbers)
        }
    }
}
