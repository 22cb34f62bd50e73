// Runs a bound query: filter, then for some queries after the other: scan and score, select,
// hydrate, hand over.

import GradDB

package struct QueryRunner {
    private let query: BoundQuery
    private let options: QueryOptions

    package init(_ query: BoundQuery, options: QueryOptions) {
        self.query = query
        self.options = options
    }

    /// Runs it and hands its rows to `sink` as they are known.
    ///
    /// - Returns: the plan, with what happened.
    package func run(into sink: any ResultSink) throws -> PlanNode {
        let deadline = query.budget.map { ContinuousClock.now + .seconds(min($0, 1e9)) }
        let ladder = try Ladder(query)
        var plan = try Planner(query, ladder, threads: options.threads).plan()
        let started = ContinuousClock.now
        let filter = try query.predicate?.rows(of: query.view, options.cancellation)
        plan.record(
            "filter",
            Array(
                // One filter serves the scans of all checkpoints.
                repeating: [
                    ("rows", .count(filter?.count ?? Int(query.view.rowCount))),
                    ("seconds", .number((ContinuousClock.now - started).seconds)),
                ], count: max(1, query.checkpoints.count)))
        try sink.begin(ResultHeader(query))
        var run = try AnswerRun(
            query, ladder, filter: filter, options: options, deadline: deadline)
        try run.answer(into: sink)
        run.record(in: &plan)
        return plan
    }
}
