// `dense`: H = L Lᵀ, so H⁻¹g = L⁻ᵀL⁻¹g, and gᵀH⁻¹g is the sum of the squares of L⁻¹g. Only the lower
// triangle of the factor is read and written; what is above it takes no memory.

struct CholeskyInverse: InverseMatrix {
    private let factor: DoubleMatrix
    private let algebra: LinearAlgebra

    var dims: Int { factor.rows }

    /// - Parameter factor: L in the lower triangle.
    init(_ factor: DoubleMatrix, _ algebra: LinearAlgebra) {
        self.factor = factor
        self.algebra = algebra
    }

    init(dims: Int, reading numbers: any NumberSource) throws {
        let factor = try DoubleMatrix(rows: dims, columns: dims)
        for row in 0..<dims {
            let numbersOfRow = UnsafeMutableBufferPointer(
                rebasing: factor.block.row(row)[...row])
            try numbers.read(into: numbersOfRow)
            guard numbersOfRow[row] > 0, numbersOfRow.allSatisfy(\.isFinite) else {
                throw GradDBError.corrupt("row \(row) of a preconditioner is not of a triangle")
            }
        }
        self.init(factor, try LinearAlgebra.required())
    }

    func apply(to rows: DoubleBlock) {
        algebra.solve(rows, by: factor.block, transposed: true)
        algebra.solve(rows, by: factor.block, transposed: false)
    }

    func squaredNorms(_ rows: DoubleBlock) -> [Double] {
        algebra.solve(rows, by: factor.block, transposed: true)
        return rows.rowSquares()
    }

    func forEachRun(_ body: (UnsafeBufferPointer<Double>) throws -> Void) rethrows {
        for row in 0..<dims {
            try body(UnsafeBufferPointer(rebasing: factor.block.row(row)[...row]))
        }
    }
}
