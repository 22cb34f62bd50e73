// The state of one thread while it scores a row group: buffers that are reused from group to group.

/// Dot products of some rows and all queries, while the columns of a scan add to them.
package struct RunningScores {
    /// `dots[query * rows + row]`.
    private(set) var dots: [Double] = []
    /// As `dots`; empty where everything is exact.
    private(set) var errors: [Double] = []
    private(set) var squaredNorms: [Double] = []
    /// Whether errors add up as variances (any column's is random), or as bounds.
    let errorsAreVariances: Bool
    private let isExact: Bool
    private var rows = 0

    init(_ columns: [ColumnScorer]) {
        let errors = columns.flatMap(\.errors)
        errorsAreVariances = errors.contains(where: \.isRandom)
        isExact = errors.allSatisfy {
            if case .none = $0 { return true }
            return false
        }
    }

    mutating func reset(rows: Int, queries: Int) {
        self.rows = rows
        dots.reset(count: rows * queries, to: 0)
        squaredNorms.reset(count: rows, to: 0)
        if !isExact { errors.reset(count: rows * queries, to: 0) }
    }

    /// The dot products of one query by row, and their errors where there are any.
    mutating func withRow(
        of query: Int,
        _ body: (UnsafeMutablePointer<Double>, UnsafeMutablePointer<Double>?) -> Void
    ) {
        let start = query * rows
        let isExact = self.isExact
        dots.withUnsafeMutableBufferPointer { dots in
            errors.withUnsafeMutableBufferPointer { errors in
                guard let dots = dots.baseAddress else { return }
                body(dots + start, isExact ? nil : errors.baseAddress.map { $0 + start })
            }
        }
    }

    mutating func addSquaredNorms(_ statistics: [RowStatistics]) {
        for row in 0..<rows { squaredNorms[row] += statistics[row].squaredNorm }
    }

    mutating func replaceSquaredNorms(by norms: [Double]) { squaredNorms = norms }

    /// Turns variances into standard deviations, once all columns have been added.
    mutating func complete() {
        guard errorsAreVariances else { return }
        for index in errors.indices { errors[index] = errors[index].squareRoot() }
    }

    func withScores(
        unit: Int, rows: [UInt64], mask: [Bool]?, _ body: (GroupScores) throws -> Void
    ) rethrows {
        try dots.withUnsafeBufferPointer { dots in
            try squaredNorms.withUnsafeBufferPointer { norms in
                try errors.withUnsafeBufferPointer { errors in
                    try body(
                        GroupScores(
                            unit: unit, rows: rows, mask: mask, dots: dots, squaredNorms: norms,
                            errors: errors))
                }
            }
        }
    }
}

/// Room for what is computed on the way.
final class ScanScratch {
    lazy var floats = FloatBatch.Scratch()
    private var sums: [Accumulator] = []
    private var layerDots: [Double] = []

    func withZeroedSums<R>(
        count: Int, _ body: (UnsafeMutablePointer<Accumulator>) throws -> R
    ) rethrows -> R? {
        sums.reset(count: count, to: Accumulator())
        return try sums.withUnsafeMutableBufferPointer { sums in
            try sums.baseAddress.map(body)
        }
    }

    func withZeroedDots(count: Int, _ body: (UnsafeMutablePointer<Double>) -> Void) {
        layerDots.reset(count: count, to: 0)
        layerDots.withUnsafeMutableBufferPointer { if let dots = $0.baseAddress { body(dots) } }
    }
}

extension Array {
    /// Fills it anew without giving its memory back.
    mutating func reset(count: Int, to value: Element) {
        removeAll(keepingCapacity: true)
        append(contentsOf: repeatElement(value, count: count))
    }
}
