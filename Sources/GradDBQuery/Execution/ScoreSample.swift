// A few rows, scored exactly and on every rung of the ladder: how far the estimates really are off,
// and how the scores are spread. What the choice of a rung is based on.

import GradDB
import Synchronization

struct ScoreSample {
    /// By rung: how many times larger errors were than they are said to be, at least 1.
    let inflation: [Double]
    /// By rung: the mean error of an answer's score, as it is said to be.
    private let error: [Double]
    /// By sampled answer: mean and standard deviation of the exact scores.
    private let spread: [(mean: Double, deviation: Double)]
    let passes: [ScanPass]

    /// Pairs of row and query that say enough.
    static let pairs = 64
    /// Row groups that they come from.
    private static let units = 8
    /// Rows that are neighbours share their chunks.
    private static let neighbours = 2

    /// As many as were asked for.
    let wishedPairs: Int

    init(_ input: SelectionInput, _ ladder: Ladder, pairs: Int) throws {
        wishedPairs = pairs
        let places = try Self.places(input, pairs: pairs)
        let (exact, exactPass) = try Self.score(input, ladder.exact, places, "sample")
        var passes = [exactPass]
        var inflation: [Double] = []
        var errors: [Double] = []
        for rung in ladder.rungs {
            let (sample, pass) = try Self.score(input, rung, places, "sample \(rung.label)")
            passes.append(pass)
            var squares = 0.0
            var count = 0.0
            for (place, row) in sample.rows {
                guard let truth = exact.rows[place] else { continue }
                for (index, dot) in row.dots.enumerated() where row.errors[index] > 0 {
                    let off = (dot - truth.dots[index]) / row.errors[index]
                    squares += off * off
                    count += 1
                }
            }
            let ratio = count > 0 ? (squares / count).squareRoot() : 1
            // The sample's own error: a ratio of 1 within two standard errors counts as 1.
            let margin = count > 0 ? 1 / (2 * count).squareRoot() : 0
            inflation.append(max(1, ratio <= 1 + 2 * margin ? 1 : ratio * (1 + 2 * margin)))
            let all = sample.answers.values.joined()
            errors.append(all.reduce(0) { $0 + $1.error } / Double(max(1, all.count)))
        }
        self.passes = passes
        self.inflation = inflation
        error = errors
        spread = exact.answers.values.map { scores in
            let count = Double(max(1, scores.count))
            let mean = scores.reduce(0) { $0 + $1.score } / count
            let variance = scores.reduce(0) { $0 + ($1.score - mean) * ($1.score - mean) } / count
            return (mean, variance.squareRoot())
        }
    }

    /// The share of rows that a rung is expected to leave as candidates of one end, if scores are
    /// spread as normal ones (those of gradients have heavier tails, which leave fewer).
    func survivors(rung: Int, wanted: Int, of rowCount: Int, interval: Interval) -> Double {
        let share = min(0.5, Double(wanted) / Double(max(1, rowCount)))
        let cut = NormalDistribution.quantile(upperTail: share)
        let error = self.error[rung] * inflation[rung]
        let shares = spread.map { spread in
            guard spread.deviation > 0 else { return 1.0 }
            let blurred = (spread.deviation * spread.deviation + error * error).squareRoot()
            return NormalDistribution.upperTail(
                (cut * spread.deviation - interval.up * error) / blurred)
        }
        return shares.reduce(0, +) / Double(max(1, shares.count))
    }

    // MARK: which rows

    private static func places(
        _ input: SelectionInput, pairs: Int
    ) throws -> [RowPlace] {
        let all = input.query.view.units(of: input.checkpoint)
        guard !all.isEmpty else { return [] }
        let count = input.queryCount
        let scorer = input.scorer
        // A mean needs all of its queries; of many single ones, some will do.
        let answers = 0..<input.answerCount
        let sampled = answers.count <= 4 ? Array(answers) : (0..<4).map { $0 * answers.count / 4 }
        let queries = Array(Set(sampled.flatMap(scorer.queries(of:)))).sorted()
        let rows = max(min(64, pairs), pairs / max(1, min(count, queries.count)))
        var places: Set<RowKey> = []
        // The same sample at every run.
        var random = SplitMix64(state: 0x5851_F42D_4C95_7F2D)
        let units = (0..<units).map { _ in Int(random.next() % UInt64(all.count)) }
        for number in 0..<max(1, rows / neighbours) {
            let unit = units[number % units.count]
            let size = all[unit].segment.rows(ofGroup: all[unit].group)
            let first = Int(random.next() % UInt64(size)) / neighbours * neighbours
            for index in first..<min(size, first + neighbours) {
                places.insert(RowKey(unit: unit, index: index))
            }
        }
        return places.map { RowPlace(unit: $0.unit, index: $0.index, queries: queries) }
    }

    // MARK: scoring them

    private struct RowKey: Hashable, Sendable {
        var unit: Int
        var index: Int
    }

    private struct Scores: Sendable {
        var rows: [RowKey: (dots: [Double], errors: [Double])] = [:]
        var answers: [Int: [Estimate]] = [:]
    }

    private static func score(
        _ input: SelectionInput, _ rung: Rung, _ places: [RowPlace], _ name: String
    ) throws -> (Scores, ScanPass) {
        let scorer = input.scorer
        let scan = try Scan(try input.request(rung))
        let scores = Mutex(Scores())
        let pass = try ScanPass(name) {
            try scan.run(rows: places) { _, row in
                scores.withLock { scores in
                    scores.rows[RowKey(unit: row.place.unit, index: row.place.index)] = (
                        Array(row.dots), Array(row.errors)
                    )
                    scorer.forEach(row) { scores.answers[$0, default: []].append($1) }
                }
            }
        }
        return (scores.withLock { $0 }, pass)
    }
}
