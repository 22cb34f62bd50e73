// From running sums to dot products: one fixed expression per row and query, the last step of the
// definition of a score.

/// How a running sum becomes the dot product of a row and one query.
package enum ScoreTerm: Sendable {
    /// The sum is the dot product.
    case doubles
    /// double(factor · sum + addend) · (row's scale · scale), the query's scale.
    case integers(factor: Int64, addend: Int64, scale: Double)

    /// Adds to `dots[r]` the dot product of row r, whose sum is `sums[r * step]`.
    package func add(
        _ sums: UnsafePointer<Accumulator>, step: Int, rows: [RowStatistics],
        to dots: UnsafeMutablePointer<Double>
    ) {
        switch self {
        case .doubles:
            for row in rows.indices { dots[row] += sums[row * step].double }
        case .integers(let factor, let addend, let scale):
            for row in rows.indices {
                let integer = factor &* sums[row * step].integer &+ addend
                dots[row] += Double(integer) * (Double(rows[row].scale) * scale)
            }
        }
    }
}
