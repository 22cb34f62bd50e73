// `diagonal`: H is its diagonal h, and H⁻¹g is g/h.

package struct DiagonalInverse: InverseMatrix {
    private let diagonal: [Double]

    package var dims: Int { diagonal.count }

    /// - Parameter diagonal: numbers above 0.
    package init(_ diagonal: [Double]) { self.diagonal = diagonal }

    init(dims: Int, reading numbers: any NumberSource) throws {
        var diagonal = [Double](repeating: 0, count: dims)
        try diagonal.withUnsafeMutableBufferPointer { try numbers.read(into: $0) }
        guard diagonal.allSatisfy({ $0.isFinite && $0 > 0 }) else {
            throw GradDBError.corrupt("a preconditioner's diagonal is not positive")
        }
        self.diagonal = diagonal
    }

    package func apply(to rows: DoubleBlock) {
        for row in 0..<rows.rows {
            let row = rows.row(row)
            for index in row.indices { row[index] /= diagonal[index] }
        }
    }

    package func squaredNorms(_ rows: DoubleBlock) -> [Double] {
        (0..<rows.rows).map { row in
            zip(rows.row(row), diagonal).reduce(0) { $0 + $1.0 * $1.0 / $1.1 }
        }
    }

    package func forEachRun(_ body: (UnsafeBufferPointer<Double>) throws -> Void) rethrows {
        try diagonal.withUnsafeBufferPointer(body)
    }
}
