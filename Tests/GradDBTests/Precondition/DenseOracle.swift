// Linear algebra in the plainest way: elimination with pivots, sums in order. For small matrices.

import GradDB

enum DenseOracle {
    /// x with a · x = b.
    static func solve(_ a: [[Double]], _ b: [Double]) -> [Double] {
        var rows = zip(a, b).map { $0 + [$1] }
        let count = rows.count
        for column in 0..<count {
            let pivot = (column..<count).max { abs(rows[$0][column]) < abs(rows[$1][column]) }
            rows.swapAt(column, pivot ?? column)
            for row in 0..<count where row != column {
                let factor = rows[row][column] / rows[column][column]
                for index in column...count { rows[row][index] -= factor * rows[column][index] }
            }
        }
        return rows.indices.map { rows[$0][count] / rows[$0][$0] }
    }

    /// The sum of g gᵀ.
    static func secondMoment(_ rows: [[Double]]) -> [[Double]] {
        let dims = rows[0].count
        return (0..<dims).map { i in
            (0..<dims).map { j in rows.reduce(0) { $0 + $1[i] * $1[j] } }
        }
    }

    static func dot(_ a: [Double], _ b: [Double]) -> Double {
        zip(a, b).reduce(0) { $0 + $1.0 * $1.1 }
    }

    /// The largest and the smallest eigenvalue of a symmetric matrix (Jacobi's rotations).
    static func eigenvalues(_ matrix: [[Double]]) -> [Double] {
        var a = matrix
        let count = a.count
        for _ in 0..<60 {
            var rest = 0.0
            for p in 0..<count {
                for q in p + 1..<max(p + 1, count) {
                    rest = max(rest, abs(a[p][q]))
                    guard a[p][q] != 0 else { continue }
                    let theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
                    let t =
                        (theta < 0 ? -1.0 : 1.0) / (abs(theta) + (theta * theta + 1).squareRoot())
                    let c = 1 / (t * t + 1).squareRoot()
                    let s = t * c
                    for k in 0..<count {
                        (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q])
                    }
                    for k in 0..<count {
                        (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k])
                    }
                }
            }
            if rest == 0 { break }
        }
        return a.indices.map { a[$0][$0] }.sorted()
    }
}

extension DoubleMatrix {
    convenience init(_ rows: [[Double]]) throws {
        try self.init(rows: rows.count, columns: rows[0].count)
        for (row, numbers) in zip(0..<rows.count, rows) {
            for (column, number) in numbers.enumerated() { block.row(row)[column] = number }
        }
    }

    var contents: [[Double]] { (0..<rows).map { Array(block.row($0)) } }
}

extension SeededRandom {
    mutating func doubles(_ rows: Int, _ columns: Int) -> [[Double]] {
        (0..<rows).map { _ in vector(columns).map(Double.init) }
    }
}
