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
    package func run(into sink: any ResultSink) throws -> QueryPlan {
        let started = ContinuousClock.now
        let deadline = query.budget.map { started + .seconds(min($0, 1e9)) }
        let ladder = try Ladder(query)
        let choice = try PlanChooser(query, ladder, options: options).choose()
        var plan = try Planner(query, ladder, choice, threads: options.threads).plan()
        try sink.begin(ResultHeader(query))
        var run = try AnswerRun(query, ladder, choice, options: options, deadline: deadline)
        try run.answer(into: sink)
        run.record(in: &plan.root)
        plan.root.actual.append(
            ("total seconds", .number((ContinuousClock.now - started).seconds)))
        return plan
    }

    /// The plan without running it.
    package func plan() throws -> QueryPlan {
        let ladder = try Ladder(query)
        let choice = try PlanChooser(query, ladder, options: options).choose()
        return try Planner(query, ladder, choice, threads: options.threads).plan()
    }
}
