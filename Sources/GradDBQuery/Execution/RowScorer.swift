// From dot products to scores: the measure, the reduction over queries, the weights of checkpoints.
// Every score is one fixed expression in double, so that it is the same on any machine.

import GradDB

/// Turns dot products into one score per answer and row.
struct RowScorer: Sendable {
    private let measure: Measure
    private let reduction: QueryReduction
    /// Norm of each query over the chosen layers.
    private let queryNorms: [Double]

    /// - Parameter queries: the exact ones of a part, each with one vector per layer; whatever
    ///   estimates the dot products, their norms count.
    init(_ query: BoundQuery, queries: [[EncodedQuery]]) {
        measure = query.measure
        reduction = query.reduction
        queryNorms = queries.map { layers in
            layers.reduce(0) { $0 + ($1.preconditionedSquaredNorm ?? $1.squaredNorm) }
                .squareRoot()
        }
    }

    /// Norms of the queries, which a cosine divides by.
    var norms: [Double] { queryNorms }

    private var allQueries: [Int] { Array(queryNorms.indices) }

    /// Calls `body` with each answer and the scores of all rows of the group, those that do not
    /// count too. Loops over plain arrays: rows may take no more than tens of nanoseconds each.
    func forEachAnswer(
        _ scores: GroupScores, _ body: (Int, UnsafeBufferPointer<Double>) -> Void
    ) {
        guard reduction == .each else {
            var values = [Double](repeating: identity, count: scores.rows.count)
            fold(scores, into: &values)
            finish(&values, count: queryNorms.count)
            values.withUnsafeBufferPointer { body(0, $0) }
            return
        }
        forEachQuery(scores, body)
    }

    /// Calls `body` with each query and the scores of all rows of the group, before any reduction.
    func forEachQuery(
        _ scores: GroupScores, _ body: (Int, UnsafeBufferPointer<Double>) -> Void
    ) {
        let rowCount = scores.rows.count
        guard measure != .dot else {
            for query in queryNorms.indices { body(query, dots(of: query, scores)) }
            return
        }
        let norms = scores.squaredNorms.map { $0.squareRoot() }
        var values = [Double](repeating: 0, count: rowCount)
        for query in queryNorms.indices {
            let dots = dots(of: query, scores)
            for row in 0..<rowCount { values[row] = score(dots[row], norms[row], query) }
            values.withUnsafeBufferPointer { body(query, $0) }
        }
    }

    private func dots(of query: Int, _ scores: GroupScores) -> UnsafeBufferPointer<Double> {
        let rowCount = scores.rows.count
        return UnsafeBufferPointer(
            rebasing: scores.dots[query * rowCount..<(query + 1) * rowCount])
    }

    // MARK: MEAN, SUM and MAX

    /// What a row has before any query.
    var identity: Double { reduction == .max ? -.infinity : 0 }

    /// Adds the queries to what the group's rows have already, or takes the larger, in the order of
    /// the queries: so it does not matter how many of them are scored together.
    func fold(_ scores: GroupScores, into values: inout [Double]) {
        forEachQuery(scores) { _, scores in
            if reduction == .max {
                for row in scores.indices where scores[row] > values[row] {
                    values[row] = scores[row]
                }
            } else {
                for row in scores.indices { values[row] += scores[row] }
            }
        }
    }

    /// Makes scores of what all queries have run into.
    func finish(_ values: inout [Double], count: Int) {
        guard reduction == .mean else { return }
        for row in values.indices { values[row] /= Double(count) }
    }

    // MARK: estimates

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
            if reduction == .each {
                for query in queryNorms.indices { try body(query, index, estimate(query)) }
            } else {
                try body(0, index, reduced(queryNorms.indices.lazy.map(estimate)))
            }
        }
    }

    /// The queries whose scores an answer needs.
    func queries(of answer: Int) -> [Int] { reduction == .each ? [answer] : allQueries }

    /// Calls `body` with each answer that the row was scored for. Exact scores have no error.
    func forEach(_ scores: RowScores, _ body: (Int, Estimate) -> Void) {
        let norm = scores.squaredNorm.squareRoot()
        let estimates = zip(scores.place.queries, zip(scores.dots, scores.errors)).map {
            query, pair in
            estimate(pair.0, pair.1, norm, query)
        }
        if reduction == .each {
            for (query, estimate) in zip(scores.place.queries, estimates) { body(query, estimate) }
        } else {
            body(0, reduced(estimates))
        }
    }

    /// Upper bounds of the answers' scores' magnitudes, from those of the queries' dot products;
    /// only for the measure dot.
    func bounds(_ bounds: [Double]) -> [Double] {
        switch reduction {
        case .each: bounds
        case .mean: [bounds.reduce(0, +) / Double(bounds.count)]
        case .sum: [bounds.reduce(0, +)]
        case .max: [bounds.max() ?? 0]
        }
    }

    /// A zero row has no direction: its cosine is 0 by definition, and so is that with a query
    /// that is zero in the one layer that PER LAYER looks at.
    private func score(_ dot: Double, _ rowNorm: Double, _ query: Int) -> Double {
        switch measure {
        case .dot, .`self`: dot
        case .cosine:
            rowNorm == 0 || queryNorms[query] == 0 ? 0 : dot / (rowNorm * queryNorms[query])
        }
    }

    private func estimate(
        _ dot: Double, _ error: Double, _ rowNorm: Double, _ query: Int
    ) -> Estimate {
        Estimate(score: score(dot, rowNorm, query), error: score(error, rowNorm, query))
    }

    /// The errors of several queries against one row may all point the same way.
    private func reduced(_ estimates: some Sequence<Estimate>) -> Estimate {
        var result = Estimate(score: identity, error: 0)
        for estimate in estimates {
            if reduction == .max {
                // The largest is off by no more than the one that is off most.
                result.score = max(result.score, estimate.score)
                result.error = max(result.error, estimate.error)
            } else {
                result.score += estimate.score
                result.error += estimate.error
            }
        }
        guard reduction == .mean else { return result }
        let count = Double(queryNorms.count)
        return Estimate(score: result.score / count, error: result.error / count)
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
