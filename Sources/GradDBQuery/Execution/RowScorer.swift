// From dot products to scores: the measure, the reduction over queries, the weights of checkpoints.
// Every score is one fixed expression in double, so that it is the same on any machine.

import GradDB

/// Turns dot products into one score per answer and row.
struct RowScorer: Sendable {
    private let measure: Measure
    private let reduction: QueryReduction
    /// Norm of each query over the chosen layers.
    private let queryNorms: [Double]

    /// - Parameter queries: one per query, each with one vector per layer.
    init(_ query: BoundQuery, queries: [[EncodedQuery]]) {
        measure = query.measure
        reduction = query.reduction
        queryNorms = queries.map { layers in
            layers.reduce(0) { $0 + $1.squaredNorm }.squareRoot()
        }
    }

    private var allQueries: [Int] { Array(queryNorms.indices) }

    /// Calls `body` with each answer and the scores of all rows of the group, those that do not
    /// count too. Loops over plain arrays: rows may take no more than tens of nanoseconds each.
    func forEachAnswer(
        _ scores: GroupScores, _ body: (Int, UnsafeBufferPointer<Double>) -> Void
    ) {
        let rowCount = scores.rows.count
        let norms = scores.squaredNorms.map { $0.squareRoot() }
        var sums = [Double](repeating: 0, count: rowCount)
        for query in queryNorms.indices {
            let dots = UnsafeBufferPointer(
                rebasing: scores.dots[query * rowCount..<(query + 1) * rowCount])
            if reduction == .each, measure == .dot {
                body(query, dots)
                continue
            }
            if reduction == .each {
                for row in 0..<rowCount { sums[row] = score(dots[row], norms[row], query) }
                sums.withUnsafeBufferPointer { body(query, $0) }
            } else {
                for row in 0..<rowCount { sums[row] += score(dots[row], norms[row], query) }
            }
        }
        guard reduction == .mean else { return }
        let count = Double(queryNorms.count)
        for row in 0..<rowCount { sums[row] /= count }
        sums.withUnsafeBufferPointer { body(0, $0) }
    }

    /// Calls `body` with answer, position in the row group, estimated score, and how far that may
    /// be off, of every row that counts.
    func forEachEstimate(
        _ scores: GroupScores, _ body: (Int, Int, Estimate) throws -> Void
    ) rethrows {
        let rowCount = scores.rows.count
        for index in 0..<rowCount where scores.mask?[index] ?? true {
            let norm = scores.squaredNorms[index].squareRoot()
            func estimate(_ query: Int) -> Estimate {
                let position = query * rowCount + index
                let error = scores.errors.isEmpty ? 0 : scores.errors[position]
                return self.estimate(scores.dots[position], error, norm, query)
            }
            switch reduction {
            case .each:
                for query in queryNorms.indices { try body(query, index, estimate(query)) }
            case .mean, .sum, .max:
                try body(0, index, mean(queryNorms.indices.lazy.map(estimate)))
            }
        }
    }

    /// The queries whose scores an answer needs.
    func queries(of answer: Int) -> [Int] { reduction == .mean ? allQueries : [answer] }

    /// Calls `body` with each answer that the row was scored for. Exact scores have no error.
    func forEach(_ scores: RowScores, _ body: (Int, Estimate) -> Void) {
        let norm = scores.squaredNorm.squareRoot()
        let estimates = zip(scores.place.queries, zip(scores.dots, scores.errors)).map {
            query, pair in
            estimate(pair.0, pair.1, norm, query)
        }
        switch reduction {
        case .each:
            for (query, estimate) in zip(scores.place.queries, estimates) { body(query, estimate) }
        case .mean, .sum, .max: body(0, mean(estimates))
        }
    }

    /// Upper bounds of the answers' scores' magnitudes, from those of the queries' dot products;
    /// only for the measure dot.
    func bounds(_ bounds: [Double]) -> [Double] {
        reduction == .mean ? [bounds.reduce(0, +) / Double(bounds.count)] : bounds
    }

    /// A zero row has no direction: its cosine is 0 by definition.
    private func score(_ dot: Double, _ rowNorm: Double, _ query: Int) -> Double {
        switch measure {
        case .dot, .`self`: dot
        case .cosine: rowNorm == 0 ? 0 : dot / (rowNorm * queryNorms[query])
        }
    }

    private func estimate(
        _ dot: Double, _ error: Double, _ rowNorm: Double, _ query: Int
    ) -> Estimate {
        Estimate(score: score(dot, rowNorm, query), error: score(error, rowNorm, query))
    }

    /// The errors of several queries against one row may all point the same way.
    private func mean(_ estimates: some Sequence<Estimate>) -> Estimate {
        var sum = Estimate(score: 0, error: 0)
        for estimate in estimates {
            sum.score += estimate.score
            sum.error += estimate.error
        }
        let count = Double(queryNorms.count)
        return Estimate(score: sum.score / count, error: sum.error / count)
    }
}

/// A score, and how far it may be off: a bound or a standard deviation, as the pass defines.
package struct Estimate: Sendable {
    package var score: Double
    package var error: Double

    package init(score: Double, error: Double) {
        self.score = score
        self.error = error
    }
}
