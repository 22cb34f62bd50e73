// Float codecs: a pass in single precision, whose error has a bound, at the speed of memory; then
// the exact scores of the few rows that the bound leaves. The answer is the exact one.

import GradDB

struct BoundedSelection {
    let input: SelectionInput
    let exact: Rung

    /// Whether single precision may be faster than the definition, and the answer is small beside
    /// the table.
    static func mayPay(_ exact: Rung, queries: Int, wanted: Int, rows: Int) -> Bool {
        exact.columns.contains { hasFaster($0, queries: queries) } && 20 * wanted <= rows
    }

    private static func hasFaster(_ column: ScanColumn, queries: Int) -> Bool {
        switch column.encoding.codec {
        case .f16, .bf16: true
        case .f32: FloatBatch.pays(queries: queries)
        case .int8, .int4, .bit: false
        }
    }

    /// Nil where the bound leaves too many rows.
    func run() throws -> (answers: [Answer], passes: [ScanPass])? {
        var fast = exact
        for index in fast.columns.indices {
            fast.columns[index].isSinglePrecision = Self.hasFaster(
                fast.columns[index], queries: input.queryCount)
        }
        let finder = CandidatePass(input: input, interval: .bound)
        guard let (pools, first) = try finder.run("single precision", fast) else { return nil }
        let keys = Set<CandidateKey>(pools.map { $0.map(\.rows) })
        let (scores, second) = try Rescoring(input: input).run("exact", keys, exact)
        var answers = input.emptyAnswers
        for (key, found) in scores { answers[key.answer].insert(found.estimate.score, found.row) }
        return (answers, [first, second])
    }
}

/// A pass over all rows that keeps those which may be among the best.
struct CandidatePass {
    let input: SelectionInput
    let interval: Interval

    /// Candidates of one statement may take about this much memory.
    private static let maxCandidates = 4 << 20

    private struct Overflow: Error {}

    /// By answer and end; nil when there are too many to keep.
    func run(
        _ name: String, _ rung: Rung, deadline: ContinuousClock.Instant? = nil
    ) throws -> (pools: [[Candidates]], pass: ScanPass)? {
        let limits = [(RankingEnd.top, input.limits.top), (.bottom, input.limits.bottom)]
        let empty = Array(
            repeating: limits.filter { $0.1 > 0 }.map {
                Candidates($0.0, limit: $0.1, interval: interval)
            }, count: input.answerCount)
        var request = try input.request(rung)
        request.deadline = deadline
        let scan = try Scan(request)
        let scorer = input.scorer
        let limit = max(1 << 14, Self.maxCandidates / (scan.workerCount * empty.joined().count))
        let found = PerWorker(scan.workerCount, empty)
        do {
            let pass = try ScanPass(name) {
                try scan.run { worker, scores in
                    try found.withValue(worker) { pools in
                        try scorer.forEachEstimate(scores) { answer, index, estimate in
                            for end in pools[answer].indices {
                                pools[answer][end].insert(
                                    estimate, unit: scores.unit, index: index)
                                if pools[answer][end].rows.count > limit { throw Overflow() }
                            }
                        }
                    }
                }
            }
            let pools = found.values.reduce(into: empty) { merged, pools in
                for answer in merged.indices {
                    for end in merged[answer].indices {
                        merged[answer][end].merge(pools[answer][end])
                    }
                }
            }
            return (pools, pass)
        } catch is Overflow {
            return nil
        }
    }
}
