// Every row is scored as scores are defined. Rows are selected as they are scored, and nothing else
// is kept.

import GradDB

struct ExactSelection {
    let input: SelectionInput
    let exact: Rung

    func run(deadline: ContinuousClock.Instant? = nil) throws -> (
        answers: [Answer], pass: ScanPass
    ) {
        let scorer = input.scorer
        var request = try input.request(exact)
        request.deadline = deadline
        request.device = input.options.device
        // Known before the scan is: a scan has no more workers than threads.
        let found = PerWorker(max(1, input.options.threads), input.emptyAnswers)
        if input.query.measure == .dot {
            // What one thread has found so far is a floor for all rows that it comes to.
            request.mayMatter = { worker, bounds in
                found.withValue(worker) { answers in
                    zip(answers, scorer.bounds(bounds)).contains { $0.mayTake(within: $1) }
                }
            }
        }
        let scan = try Scan(request)
        let pass = try ScanPass("score") {
            let consumer = ScanConsumer(
                groups: { worker, scores in
                    found.withValue(worker) { answers in
                        scorer.forEachAnswer(scores) { answers[$0].insert($1, scores) }
                    }
                },
                selection: selection,
                selected: { worker, scores in
                    found.withValue(worker) { answers in
                        for score in scores { answers[score.query].insert(score.score, score.row) }
                    }
                })
            return try scan.run(consumer)
        }
        let answers = found.values.reduce(into: input.emptyAnswers) { merged, answers in
            for index in merged.indices { merged[index].merge(answers[index]) }
        }
        return (answers, pass)
    }

    /// What a device may select by itself: answers of one query each.
    private var selection: ScanSelection? {
        guard input.query.reduction == .each else { return nil }
        let norms = input.query.measure == .cosine ? input.scorer.norms : nil
        return ScanSelection(
            top: input.limits.top, bottom: input.limits.bottom, cosineNorms: norms)
    }
}
