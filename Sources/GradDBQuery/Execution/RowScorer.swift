// From dot products to scores: the measure, the reduction over queries, the weights of checkpoints.
// Every score is one fixed expression in double, so that it is the same on any machine.

import GradDB

/// Turns a row group's dot products into one score per answer and row.
struct RowScorer: Sendable {
    private let measure: Measure
    private let reduction: QueryReduction
    /// Norm of each query over the chosen layers.
    private let queryNorms: [Double]

    init(_ query: BoundQuery, _ checkpoint: BoundCheckpoint) {
        measure = query.measure
        reduction = query.reduction
        queryNorms = checkpoint.queries.map { layers in
            layers.reduce(0) { $0 + $1.squaredNorm }.squareRoot()
        }
    }

    var answerCount: Int { reduction == .mean ? 1 : queryNorms.count }

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

    /// A zero row has no direction: its cosine is 0 by definition.
    private func score(_ dot: Double, _ rowNorm: Double, _ query: Int) -> Double {
        switch measure {
        case .dot: dot
        case .cosine: rowNorm == 0 ? 0 : dot / (rowNorm * queryNorms[query])
        }
    }
}
