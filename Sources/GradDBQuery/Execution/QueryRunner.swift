// Runs a bound query: filter, scan and score, select, hydrate.

import GradDB

package struct QueryRunner {
    private let query: BoundQuery
    private let options: QueryOptions

    package init(_ query: BoundQuery, options: QueryOptions) {
        self.query = query
        self.options = options
    }

    package func run() throws -> QueryResult {
        let deadline = query.budget.map { ContinuousClock.now + .seconds(min($0, 1e9)) }
        let ladder = try Ladder(query)
        var plan = try Planner(query, ladder, threads: options.threads).plan()
        let filter = try measured("filter", &plan) {
            try evaluateFilter()
        } facts: { filter in
            [("rows", .count(filter?.count ?? Int(query.view.rowCount)))]
        }
        let selected = try select(filter, ladder, until: deadline)
        plan.record(selected.passes, checkpoints: query.isWeighted ? query.checkpoints.count : 1)
        let rows = try measured("hydrate", &plan) {
            try hydrate(selected)
        } facts: { rows in
            [("rows", .count(rows.count))]
        }
        // These run inside the scan, on its threads and in its time: only their rows are known.
        for name in ["score", "reduce", "sum"] {
            plan.record(name, [[("rows", .count(selected.rows))]])
        }
        plan.record("select", [[("rows", .count(rows.count))]])
        return QueryResult(
            columns: query.columns.map(\.name), rows: rows, hasEstimates: query.budget != nil,
            plan: plan)
    }

    private typealias Facts = [(key: String, value: PlanValue)]

    private func measured<R>(
        _ name: String, _ plan: inout PlanNode, _ body: () throws -> R, facts: (R) -> Facts
    ) rethrows -> R {
        let started = ContinuousClock.now
        let result = try body()
        let seconds = (ContinuousClock.now - started).seconds
        let fact = facts(result) + [("seconds", .number(seconds))]
        // One filter serves the scans of all checkpoints.
        plan.record(name, Array(repeating: fact, count: max(1, query.checkpoints.count)))
        return result
    }

    // MARK: filter

    /// The rows that pass WHERE; nil when there is no condition.
    private func evaluateFilter() throws -> RowSet? {
        guard let predicate = query.predicate else { return nil }
        var filter = RowSet(rowCount: query.view.rowCount)
        if let constant = predicate.constant {
            if constant == .yes { for row in 0..<query.view.rowCount { filter.insert(row) } }
            return filter
        }
        try ColumnReader(query.view).forEachRun(predicate.columns.map(\.name)) { columns, rows in
            try options.cancellation.check()
            let count = columns.first?.value.count ?? rows.count
            let mask = try predicate.mask(over: columns, rowCount: count)
            for (index, row) in rows.enumerated() where mask[index] { filter.insert(row) }
        }
        return filter
    }

    // MARK: scan and select

    /// Selects for as many answers at a time as their running sums leave room for.
    private func select(
        _ filter: RowSet?, _ ladder: Ladder, until deadline: ContinuousClock.Instant?
    ) throws -> Selected {
        var selected = Selected([], passes: [])
        let parts = try QueryParts(query, threads: options.threads).parts
        for (number, part) in parts.enumerated() {
            // Each part gets an equal share of the time that is left.
            let partDeadline = deadline.map { end in
                ContinuousClock.now + (end - .now) / (parts.count - number)
            }
            selected.append(
                part.isWeighted
                    ? try selectFromSums(part, filter, ladder.exact)
                    : try selectFromOne(part, filter, ladder, until: partDeadline))
        }
        return selected
    }

    private func input(
        _ query: BoundQuery, _ checkpoint: BoundCheckpoint, _ filter: RowSet?
    ) throws -> SelectionInput {
        try SelectionInput(query: query, checkpoint: checkpoint, filter: filter, options: options)
    }

    /// One checkpoint.
    private func selectFromOne(
        _ query: BoundQuery, _ filter: RowSet?, _ ladder: Ladder,
        until deadline: ContinuousClock.Instant?
    ) throws -> Selected {
        guard let checkpoint = query.checkpoints.first else {
            return Selected(query.answerNames.map { _ in Answer(query) }, passes: [])
        }
        return try select(try input(query, checkpoint, filter), ladder, until: deadline)
    }

    private func select(
        _ input: SelectionInput, _ ladder: Ladder, until deadline: ContinuousClock.Instant?
    ) throws -> Selected {
        if let deadline {
            return try ProgressiveSelection(input, ladder, deadline: deadline).selectedInTime()
        }
        if case .confidence(let probability) = input.query.accuracy {
            let progressive = ProgressiveSelection(input, ladder, probability: probability)
            if let selected = try progressive.selected() { return selected }
        }
        if BoundedSelection.pays(input, ladder.exact),
            let (answers, passes) = try BoundedSelection(input: input, exact: ladder.exact).run()
        {
            return Selected(answers, passes: passes)
        }
        let (answers, pass) = try ExactSelection(input: input, exact: ladder.exact).run()
        return Selected(answers, passes: [pass])
    }

    /// Several checkpoints: scores are added up by row, in the order of the checkpoints, and rows
    /// are selected at the end. A row that a checkpoint lacks gets nothing from it.
    private func selectFromSums(
        _ query: BoundQuery, _ filter: RowSet?, _ exact: Rung
    ) throws -> Selected {
        var answers = query.answerNames.map { _ in Answer(query) }
        let sums = ScoreSums(answers: answers.count, rows: Int(query.view.rowCount))
        var passes: [ScanPass] = []
        for checkpoint in query.checkpoints {
            let input = try input(query, checkpoint, filter)
            let scorer = input.scorer
            let weight = checkpoint.weight
            let scan = try Scan(input.request(exact))
            passes.append(
                try ScanPass("score") {
                    try scan.run { _, scores in
                        scorer.forEachAnswer(scores) { answer, values in
                            sums.add(values, of: scores, weight: weight, answer: answer)
                        }
                    }
                })
        }
        try sums.visit { answer, row, score in
            guard score.isFinite else {
                throw GradDBError(
                    .usage,
                    "the weighted sum of row \(row) is \(score): the weights of the "
                        + "checkpoints are too large")
            }
            answers[answer].insert(score, row)
        }
        var selected = Selected(answers, passes: passes)
        selected.rows = passes.reduce(0) { $0 + $1.counters.rows }
        if query.budget != nil { selected.markAsKnown() }
        return selected
    }

    // MARK: hydrate

    private func hydrate(_ selected: Selected) throws -> [ResultRow] {
        var rows: [ResultRow] = []
        for (name, ends) in zip(query.answerNames, selected.ends) {
            for end in ends {
                for (index, row) in end.rows.enumerated() {
                    try options.cancellation.check()
                    rows.append(try hydrate(row, rank: index + 1, end: end, query: name))
                }
            }
        }
        return rows
    }

    private func hydrate(
        _ ranked: RankedRow, rank: Int, end: RankedEnd, query name: String
    ) throws -> ResultRow {
        let record = try query.view.record(row: ranked.row)
        let values = query.columns.map { column -> FieldValue? in
            switch column.source {
            case .id: record.id.fieldValue
            case .row: .int(Int64(ranked.row))
            case .score: .float(ranked.score)
            case .rank: .int(Int64(rank))
            case .query: .string(name)
            case .checkpoint: .string(query.checkpoints.map(\.document.name).joined(separator: "+"))
            case .field(let index): record.values[index]
            }
        }
        return ResultRow(
            query: name, rank: rank, end: end.end, id: record.id, score: ranked.score,
            interval: ranked.interval, expectedRecall: end.expectedRecall, values: values)
    }
}
