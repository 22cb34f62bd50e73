// `woodbury`: H = Vᵀ diag(s) V + c I with orthonormal rows of V, so by Woodbury's identity
// H⁻¹g = (g − Vᵀ diag(s/(s + c)) V g)/c, and gᵀH⁻¹g = (|g|² − Σ s/(s + c) (Vg)²)/c.

struct LowRankInverse: InverseMatrix {
    /// c, the damping and what Frequent Directions lost.
    private let shift: Double
    /// s, by direction.
    private let spectrum: [Double]
    /// V, one direction a row.
    private let directions: DoubleMatrix
    private let algebra: LinearAlgebra

    var dims: Int { directions.columns }
    var rank: Int { spectrum.count }

    init(
        shift: Double, spectrum: [Double], directions: DoubleMatrix, _ algebra: LinearAlgebra
    ) {
        self.shift = shift
        self.spectrum = spectrum
        self.directions = directions
        self.algebra = algebra
    }

    init(dims: Int, rank: Int, reading numbers: any NumberSource) throws {
        var head = [Double](repeating: 0, count: 1 + rank)
        try head.withUnsafeMutableBufferPointer { try numbers.read(into: $0) }
        guard head[0] > 0, head.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
            throw GradDBError.corrupt("a preconditioner's spectrum is not positive")
        }
        let directions = try DoubleMatrix(rows: rank, columns: dims)
        try numbers.read(into: directions.numbers)
        guard directions.numbers.allSatisfy(\.isFinite) else {
            throw GradDBError.corrupt("a preconditioner's directions are not finite")
        }
        self.init(
            shift: head[0], spectrum: Array(head.dropFirst()), directions: directions,
            try LinearAlgebra.required())
    }

    /// V g of each row g.
    private func components(_ rows: DoubleBlock) throws -> DoubleMatrix {
        let components = try DoubleMatrix(rows: rows.rows, columns: rank)
        if rank > 0 {
            algebra.multiply(
                .plain(rows), .transposed(directions.block), into: components.block)
        }
        return components
    }

    func apply(to rows: DoubleBlock) throws {
        let components = try components(rows)
        for row in 0..<rows.rows {
            let row = components.block.row(row)
            for index in row.indices { row[index] *= spectrum[index] / (spectrum[index] + shift) }
        }
        if rank > 0 {
            algebra.multiply(
                .plain(components.block), .plain(directions.block), scale: -1, keeping: 1,
                into: rows)
        }
        for row in 0..<rows.rows {
            let row = rows.row(row)
            for index in row.indices { row[index] /= shift }
        }
    }

    func squaredNorms(_ rows: DoubleBlock) throws -> [Double] {
        let components = try components(rows)
        return zip(rows.rowSquares(), 0...).map { squares, row in
            let inside = zip(components.block.row(row), spectrum).reduce(0) { sum, pair in
                sum + pair.0 * pair.0 * (pair.1 / (pair.1 + shift))
            }
            return max(0, squares - inside) / shift
        }
    }

    func forEachRun(_ body: (UnsafeBufferPointer<Double>) throws -> Void) rethrows {
        try ([shift] + spectrum).withUnsafeBufferPointer(body)
        try body(UnsafeBufferPointer(directions.numbers))
    }
}
