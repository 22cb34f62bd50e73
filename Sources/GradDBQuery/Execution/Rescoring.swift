// Scoring candidates one by one, exactly or by a better estimate.

import GradDB

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

struct Rescoring {
    let input: SelectionInput

    /// Scores each key's row for its answer.
    ///
    /// - Parameter consume: called by one thread at a time, with the key, the row's number, and the
    ///   score with its error under `rung` (none, if that is what defines scores).
    func run(
        _ name: String, _ keys: some Sequence<CandidateKey>, _ rung: Rung,
        consume: @escaping @Sendable (CandidateKey, UInt64, Estimate) -> Void
    ) throws -> ScanPass {
        let scorer = input.scorer
        let scan = try Scan(input.request(rung))
        let places = Self.places(keys, scorer)
        let turn = PerWorker(1, ())
        return try ScanPass(name) {
            try scan.run(rows: places) { _, scores in
                turn.withValue(0) { _ in
                    scorer.forEach(scores) { answer, estimate in
                        let key = CandidateKey(
                            answer: answer, unit: Int32(truncatingIfNeeded: scores.place.unit),
                            index: Int32(truncatingIfNeeded: scores.place.index))
                        consume(key, scores.row, estimate)
                    }
                }
            }
        }
    }

    /// Each row once, with all queries that it is wanted for.
    private static func places(
        _ keys: some Sequence<CandidateKey>, _ scorer: RowScorer
    ) -> [RowPlace] {
        var answers: [CandidateKey: [Int]] = [:]
        for key in keys {
            answers[CandidateKey(answer: 0, unit: key.unit, index: key.index), default: []]
                .append(key.answer)
        }
        return answers.map { row, answers in
            let distinct = Set(answers).sorted()
            return RowPlace(
                unit: Int(row.unit), index: Int(row.index),
                queries: distinct.flatMap(scorer.queries(of:)))
        }
    }
}
