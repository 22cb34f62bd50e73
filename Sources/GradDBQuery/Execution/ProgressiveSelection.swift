// CONFIDENCE and BUDGET: estimate all rows from few bytes, keep those that may still be among the
// best, look closer at these, and score exactly what is left.
//
// A row of the true answer is lost only if its estimate falls short of its score by more than
// `interval.up` errors. That has probability (1 - p) / (2 · stages · rows wanted) at most, so that
// all of them survive all stages with probability p (the union bound; the other half of 1 - p
// covers floors). The floor that estimates are held against is the score of rows that have been
// scored exactly: it never exceeds the true one.

import GradDB

final class ProgressiveSelection {
    let input: SelectionInput
    let ladder: Ladder
    private let interval: Interval
    let deadline: ContinuousClock.Instant?
    var passes: [ScanPass] = []
    var pools: [[Candidates]] = []
    var answers: [Answer]
    /// Rows that have been scored exactly, with their numbers.
    var scored: [CandidateKey: (row: UInt64, score: Double)] = [:]
    /// The share of rows that were looked at.
    var coverage = 1.0

    /// Passes over all rows or candidates that may take rows out.
    private static let stages = 4

    /// - Parameters:
    ///   - sample: how far estimates of these queries are off.
    ///   - deadline: what is known by then is the answer; nil goes on to the end.
    init(
        _ input: SelectionInput, _ ladder: Ladder, _ sample: ScoreSample?,
        deadline: ContinuousClock.Instant? = nil
    ) {
        self.input = input
        self.ladder = ladder
        self.deadline = deadline
        inflation = sample?.inflation ?? []
        passes = sample?.passes ?? []
        interval = Self.interval(
            input.query.accuracy, wanted: input.wanted, rows: input.rowCount)
        answers = input.emptyAnswers
    }

    /// What the intervals of BUDGET's scores hold with, and what it takes rows out by.
    static let budgetProbability = 0.999

    static func interval(_ accuracy: Accuracy, wanted: Int, rows: Int) -> Interval {
        let probability: Double
        if case .confidence(let wished) = accuracy {
            probability = wished
        } else {
            probability = budgetProbability
        }
        let miss = (1 - probability) / 2
        let wanted = Double(max(1, wanted))
        let rows = Double(max(1, rows))
        func errors(_ probability: Double) -> Double {
            NormalDistribution.quantile(upperTail: max(probability, 1e-300))
        }
        return Interval(
            up: errors(miss / (Double(stages) * wanted)), down: errors(miss / max(rows, wanted)))
    }

    // MARK: CONFIDENCE

    /// Nil where estimates turn out not to help.
    func selected(from first: Int) throws -> Selected? {
        guard try estimateAll(first) else { return nil }
        try refine(from: first)
        return Selected(answers, passes: passes)
    }

    /// By rung, how many times larger errors are than they are said to be; empty where nothing is
    /// to be estimated.
    let inflation: [Double]

    private func inflated(_ rung: Int) -> Interval {
        Interval(up: interval.up * inflation[rung], down: interval.down * inflation[rung])
    }

    /// False where too many candidates are left.
    func estimateAll(_ rung: Int) throws -> Bool {
        let pass = CandidatePass(input: input, interval: inflated(rung))
        guard
            let (pools, facts) = try pass.run(
                "estimate by \(ladder.rungs[rung].label)", ladder.rungs[rung],
                deadline: deadline)
        else { return false }
        passes.append(facts)
        self.pools = pools
        coverage = facts.share(of: input)
        return true
    }

    /// Scores the best candidates, takes out those that cannot compete with them, and goes on with
    /// the rest: exactly if they are few, else by a better estimate first.
    private func refine(from first: Int) throws {
        var rung = first
        let wanted = input.wanted * input.answerCount
        for _ in 1..<Self.stages {
            // Not many more than are wanted: one pass costs less than two.
            guard 2 * pools.joined().reduce(0, { $0 + $1.rows.count }) > 3 * wanted else { break }
            try score(pools.map { $0.map { $0.best($0.limit) } }, "score the best")
            prune()
            guard let next = nextRung(after: rung) else { break }
            try improve(by: next)
            rung = next
        }
        try score(pools.map { $0.map(\.rows) }, "score the rest")
    }

    /// Scores candidates and takes them out of the pools.
    func score(_ candidates: [[[Candidate]]], _ name: String) throws {
        let keys = Set<CandidateKey>(candidates)
        guard !keys.isEmpty, !isLate else { return }
        let (scores, pass) = try Rescoring(input: input).run(name, keys, ladder.exact)
        passes.append(pass)
        for (key, found) in scores {
            scored[key] = (found.row, found.estimate.score)
            answers[key.answer].insert(found.estimate.score, found.row)
        }
        for answer in pools.indices {
            for end in pools[answer].indices {
                pools[answer][end].removeAll { scored[CandidateKey(answer, $0)] != nil }
            }
        }
    }

    func prune() {
        for answer in pools.indices {
            for (end, found) in answers[answer].ends.enumerated() {
                pools[answer][end].prune(by: found)
            }
        }
    }

    /// The rung that makes the rest cheaper; nil to score what is left.
    private func nextRung(after current: Int) -> Int? {
        func pairs(_ factor: Double) -> Double {
            var count = 0
            for answer in pools.indices {
                for (end, found) in answers[answer].ends.enumerated() {
                    count += pools[answer][end].count(
                        shrinkingErrorsBy: factor, below: found.worst)
                }
            }
            return Double(count)
        }
        let now = pairs(1)
        let exact = Double(ladder.exact.rowBytes)
        var best: (rung: Int?, cost: Double) = (nil, 0.8 * now * exact)
        for index in ladder.rungs.indices.dropFirst(current + 1) {
            let factor = (ladder.rungs[index].noise / ladder.rungs[current].noise).squareRoot()
            let cost = now * Double(ladder.rungs[index].rowBytes) + pairs(factor) * exact
            if cost < best.cost { best = (index, cost) }
        }
        return best.rung
    }

    /// Estimates the candidates anew, by a better rung.
    private func improve(by rung: Int) throws {
        guard !isLate else { return }
        let (estimates, pass) = try Rescoring(input: input).run(
            "estimate by \(ladder.rungs[rung].label)",
            Set<CandidateKey>(pools.map { $0.map(\.rows) }), ladder.rungs[rung])
        passes.append(pass)
        for answer in pools.indices {
            for end in pools[answer].indices {
                pools[answer][end].update(interval: inflated(rung)) {
                    estimates[CandidateKey(answer, $0)]?.estimate
                }
            }
        }
        prune()
    }

    var isLate: Bool { deadline.map { ContinuousClock.now >= $0 } ?? false }
}
