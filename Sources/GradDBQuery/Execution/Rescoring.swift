// Scoring candidates one by one, exactly or by a better estimate.

import GradDB
import Synchronization

/// A row and the answer that it may belong to.
struct CandidateKey: Hashable, Sendable {
    var answer: Int
    var unit: Int32
    var index: Int32

    init(_ answer: Int, _ candidate: Candidate) {
        self.init(answer: answer, unit: candidate.unit, index: candidate.index)
    }

    init(answer: Int, unit: Int32, index: Int32) {
        self.answer = answer
        self.unit = unit
        self.index = index
    }
}

extension Set<CandidateKey> {
    /// All candidates, by answer and end.
    init(_ candidates: [[[Candidate]]]) {
        self.init(
            candidates.enumerated().flatMap { answer, ends in
                ends.joined().map { CandidateKey(answer, $0) }
            })
    }
}

struct Rescoring {
    let input: SelectionInput

    /// By candidate: the row's number, and its score with the error under the rung (none, if that is
    /// what defines scores).
    typealias Scores = [CandidateKey: (row: UInt64, estimate: Estimate)]

    /// Scores each candidate for its answer.
    func run(
        _ name: String, _ keys: Set<CandidateKey>, _ rung: Rung
    ) throws -> (scores: Scores, pass: ScanPass) {
        let scorer = input.scorer
        let scan = try Scan(try input.request(rung))
        let places = Self.places(keys, scorer)
        let found = Mutex<Scores>([:])
        let pass = try ScanPass(name) {
            try scan.run(rows: places) { _, scores in
                found.withLock { found in
                    scorer.forEach(scores) { answer, estimate in
                        let key = CandidateKey(
                            answer: answer, unit: Int32(truncatingIfNeeded: scores.place.unit),
                            index: Int32(truncatingIfNeeded: scores.place.index))
                        found[key] = (scores.row, estimate)
                    }
                }
            }
        }
        return (found.withLock { $0 }, pass)
    }

    /// Each row once, with all queries that it is wanted for.
    private static func places(
        _ keys: Set<CandidateKey>, _ scorer: RowScorer
    ) -> [RowPlace] {
        var answers: [CandidateKey: [Int]] = [:]
        for key in keys {
            answers[CandidateKey(answer: 0, unit: key.unit, index: key.index), default: []]
                .append(key.answer)
        }
        return answers.map { row, answers in
            RowPlace(
                unit: Int(row.unit), index: Int(row.index),
                queries: answers.sorted().flatMap(scorer.queries(of:)))
        }
    }
}
