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

    /// Calls `body` with answer, row number and score of every row that counts.
    func forEach(_ scores: GroupScores, _ body: (Int, UInt64, Double) -> Void) {
        let rowCount = scores.rows.count
        for index in 0..<rowCount where scores.mask?[index] ?? true {
            let norm = scores.squaredNorms[index].squareRoot()
            switch reduction {
            case .each:
                for query in queryNorms.indices {
                    let dot = scores.dots[query * rowCount + index]
                    body(query, scores.rows[index], score(dot, norm, query))
                }
            case .mean:
                var sum = 0.0
                for query in queryNorms.indices {
                    sum += score(scores.dots[query * rowCount + index], norm, query)
                }
                body(0, scores.rows[index], sum / Double(queryNorms.count))
            }
        }
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
            case .mean:
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
        case .mean: body(0, mean(estimates))
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
        case .dot: dot
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
struct Estimate: Sendable {
    var score: Double
    var error: Double
}
