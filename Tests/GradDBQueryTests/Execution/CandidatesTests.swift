// Candidates against brute force: whatever the estimates, no row of the true answer is lost while
// errors are what they are said to be.

import GradDB
import GradDBQuery
import Testing

@Suite struct CandidatesTests {
    /// True scores, and estimates that are off by at most `error`.
    private struct Stream {
        var scores: [Double] = []
        var estimates: [Estimate] = []

        init(_ count: Int, seed: UInt64, ties: Bool) {
            var random = SplitMix(state: seed)
            for _ in 0..<count {
                let size = ties ? 1 : 1 + Double(random.next() % 1000)
                let score = Double(Int64(random.next() % 41) - 20) * (ties ? 1 : size * 1e-3)
                let error = Double(random.next() % 64) / 16
                let off = (Double(random.next() % 2049) / 1024 - 1) * error
                scores.append(score)
                estimates.append(Estimate(score: score + off, error: error))
            }
        }

        func best(_ limit: Int, _ end: RankingEnd) -> Set<Int> {
            let order = scores.indices.sorted {
                scores[$0] != scores[$1]
                    ? (scores[$0] > scores[$1]) == (end == .top) : $0 < $1
            }
            return Set(order.prefix(limit))
        }
    }

    private struct SplitMix: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private func indices(_ candidates: Candidates) -> Set<Int> {
        Set(candidates.rows.map { Int($0.index) })
    }

    @Test(arguments: [RankingEnd.top, .bottom], [1, 3, 50, 400])
    func boundsNeverLoseARowOfTheAnswer(end: RankingEnd, limit: Int) {
        for seed in 0..<40 as Range<UInt64> {
            let stream = Stream(300, seed: seed, ties: seed % 2 == 0)
            // Three parts, merged as those of threads are.
            var parts = (0..<3).map { _ in Candidates(end, limit: limit, interval: .bound) }
            for (index, estimate) in stream.estimates.enumerated() {
                parts[index % 3].insert(estimate, unit: 0, index: index)
            }
            var all = Candidates(end, limit: limit, interval: .bound)
            for part in parts { all.merge(part) }
            let best = stream.best(limit, end)
            #expect(indices(all).isSuperset(of: best))

            // Scores of any rows are a floor that leaves the answer in.
            var scored = TopRows(end, limit: limit)
            for index in stream.scores.indices.prefix(200) {
                scored.insert(stream.scores[index], UInt64(index))
            }
            all.prune(by: scored)
            #expect(indices(all).isSuperset(of: best))

            // Better estimates, too.
            all.update(interval: .bound) { candidate in
                let score = stream.scores[Int(candidate.index)]
                let estimate = candidate.estimate
                return Estimate(
                    score: (score + estimate.score) / 2, error: estimate.error / 2)
            }
            all.prune(by: scored)
            #expect(indices(all).isSuperset(of: best))
        }
    }

    @Test func manyRowsAreForgottenAgain() {
        var candidates = Candidates(.top, limit: 10, interval: .bound)
        for index in 0..<100_000 {
            let score = Double(index * 7919 % 100_003)
            candidates.insert(Estimate(score: score, error: 1), unit: 3, index: index)
        }
        #expect(candidates.rows.count < 8192)
        var all = Candidates(.top, limit: 10, interval: .bound)
        all.merge(candidates)
        // As many as can be told apart by errors of 1, twice: above and below the tenth.
        #expect((10...14).contains(all.rows.count))
        #expect(all.rows.allSatisfy { $0.unit == 3 })
    }

    @Test(arguments: [Double.infinity, -.infinity, .nan])
    func aScoreThatOverflowedStaysACandidate(score: Double) {
        for end in [RankingEnd.top, .bottom] {
            var candidates = Candidates(end, limit: 2, interval: .bound)
            for index in 0..<100 {
                let finite = Estimate(score: Double(index), error: 0.1)
                candidates.insert(
                    index == 50 ? Estimate(score: score, error: 0.1) : finite, unit: 0,
                    index: index)
            }
            var all = Candidates(end, limit: 2, interval: .bound)
            all.merge(candidates)
            #expect(indices(all).contains(50))
            // It is no floor for the others.
            #expect(indices(all).isSuperset(of: end == .top ? [98, 99] : [0, 1]))
            #expect(all.best(1).first?.index == 50)
        }
    }

    @Test func theBestAreThoseThatLookBest() {
        for end in [RankingEnd.top, .bottom] {
            var candidates = Candidates(end, limit: 50, interval: .bound)
            for index in 0..<50 {
                candidates.insert(
                    Estimate(score: Double(index * 37 % 50), error: 5), unit: 0, index: index)
            }
            let best = candidates.best(7).map { $0.estimate.score }
            #expect(best == (0..<7).map { Double(end == .top ? 49 - $0 : $0) })
            #expect(candidates.best(50).count == 50)
            #expect(candidates.best(500).count == 50)
        }
    }
}
