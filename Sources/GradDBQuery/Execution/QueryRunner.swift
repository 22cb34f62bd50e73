// Runs a bound query: filter, scan and score, select, hydrate.

import GradDB
import Synchronization

package struct QueryRunner {
    private let query: BoundQuery
    private let options: QueryOptions

    package init(_ query: BoundQuery, options: QueryOptions) {
        self.query = query
        self.options = options
    }

    package func run() throws -> QueryResult {
        try requireMemory()
        var plan = try Planner(query, threads: options.threads).plan()
        let filter = try measured("filter", &plan) {
            try evaluateFilter()
        } facts: { filter in
            [("rows", .count(filter?.count ?? Int(query.view.rowCount)))]
        }
        let (answers, scored) =
            query.isWeighted
            ? try selectFromSums(filter, &plan) : try selectFromScan(filter, &plan)
        let rows = try measured("hydrate", &plan) {
            try hydrate(answers)
        } facts: { rows in
            [("rows", .count(rows.count))]
        }
        // These run inside the scan, on its threads and in its time: only their rows are known.
        for name in ["score", "reduce", "sum"] { plan.record(name, [[("rows", .count(scored))]]) }
        plan.record("select", [[("rows", .count(rows.count))]])
        return QueryResult(columns: query.columns.map(\.name), rows: rows, plan: plan)
    }

    /// Running sums of one statement may take this much.
    private static let maxSumBytes = 4 << 30

    /// Refuses a statement whose running sums would not fit: 16 bytes per query and row of a row
    /// group for each thread, and under ACROSS 8 per answer and row of the table.
    private func requireMemory() throws {
        let groupRows =
            query.checkpoints
            .flatMap { query.view.segments(of: $0.document) }
            .map { min($0.rows, $0.rowsPerGroup) }.max() ?? 0
        let scan = 16.0 * Double(query.queryCount) * Double(groupRows) * Double(options.threads)
        let sums =
            query.isWeighted
            ? 8.0 * Double(query.answerNames.count) * Double(query.view.rowCount) : 0
        guard scan + sums <= Double(Self.maxSumBytes) else {
            throw GradDBError(
                .usage,
                "\(query.queryCount) queries over this table need "
                    + "\(Int((scan + sums) / 1e9)) GB for their running sums, more than "
                    + "\(Self.maxSumBytes >> 30) GiB; ask fewer queries in one statement")
        }
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

    /// The best rows of one answer, at both ends.
    private struct Answer: Sendable {
        var top: TopRows
        var bottom: TopRows

        init(_ query: BoundQuery) {
            top = TopRows(.top, limit: query.top)
            bottom = TopRows(.bottom, limit: query.bottom)
        }

        mutating func insert(_ score: Double, _ row: UInt64) {
            if top.limit > 0 { top.insert(score, row) }
            if bottom.limit > 0 { bottom.insert(score, row) }
        }

        mutating func merge(_ other: Answer) {
            top.merge(other.top)
            bottom.merge(other.bottom)
        }
    }

    private func request(_ checkpoint: BoundCheckpoint, _ filter: RowSet?) -> ScanRequest {
        ScanRequest(
            view: query.view, checkpoint: checkpoint.document, layers: query.layers,
            queries: checkpoint.queries, filter: filter, threads: options.threads,
            cancellation: options.cancellation)
    }

    /// One checkpoint: rows are selected as they are scored, and nothing else is kept.
    private func selectFromScan(
        _ filter: RowSet?, _ plan: inout PlanNode
    ) throws -> (answers: [Answer], scored: Int) {
        let empty = query.answerNames.map { _ in Answer(query) }
        guard let checkpoint = query.checkpoints.first else { return (empty, 0) }
        let scan = try Scan(request(checkpoint, filter))
        let scorer = RowScorer(query, checkpoint)
        // A slot per worker: no two threads share one, the lock is never waited for.
        let slots = (0..<scan.workerCount).map { _ in AnswerSlot(empty) }
        let (facts, scored) = try timedScan(scan) { worker, scores in
            slots[worker].answers.withLock { answers in
                scorer.forEach(scores) { answer, row, score in answers[answer].insert(score, row) }
            }
        }
        plan.record("scan", [facts])
        let merged = slots.dropFirst().reduce(into: slots[0].answers.withLock { $0 }) {
            merged, slot in
            slot.answers.withLock { answers in
                for index in merged.indices { merged[index].merge(answers[index]) }
            }
        }
        return (merged, scored)
    }

    private final class AnswerSlot: Sendable {
        let answers: Mutex<[Answer]>

        init(_ answers: [Answer]) { self.answers = Mutex(answers) }
    }

    /// Several checkpoints: scores are added up by row, in the order of the checkpoints, and rows
    /// are selected at the end. A row that a checkpoint lacks gets nothing from it.
    private func selectFromSums(
        _ filter: RowSet?, _ plan: inout PlanNode
    ) throws -> (answers: [Answer], scored: Int) {
        var answers = query.answerNames.map { _ in Answer(query) }
        let sums = ScoreSums(answers: answers.count, rows: Int(query.view.rowCount))
        var facts: [Facts] = []
        var scored = 0
        for checkpoint in query.checkpoints {
            let scorer = RowScorer(query, checkpoint)
            let weight = checkpoint.weight
            let (fact, rows) = try timedScan(try Scan(request(checkpoint, filter))) { _, scores in
                scorer.forEach(scores) { answer, row, score in
                    sums.add(weight * score, answer: answer, row: row)
                }
            }
            facts.append(fact)
            scored += rows
        }
        plan.record("scan", facts)
        try sums.visit { answer, row, score in
            guard score.isFinite else {
                throw GradDBError(
                    .usage,
                    "the weighted sum of row \(row) is \(score): the weights of the "
                        + "checkpoints are too large")
            }
            answers[answer].insert(score, row)
        }
        return (answers, scored)
    }

    private func timedScan(
        _ scan: Scan,
        _ consume: @escaping @Sendable (_ worker: Int, _ scores: GroupScores) throws -> Void
    ) throws -> (facts: Facts, rows: Int) {
        let started = ContinuousClock.now
        let counters = try scan.run(consume)
        let seconds = (ContinuousClock.now - started).seconds
        let facts: Facts = [
            ("rows", .count(counters.rows)), ("row groups", .count(counters.rowGroups)),
            ("skipped", .count(counters.skippedRowGroups)), ("blocks", .count(counters.blocks)),
            ("bytes", .count(Int(counters.bytes))), ("seconds", .number(seconds)),
            ("GB/s", .number(Double(counters.bytes) / max(seconds, 1e-9) / 1e9)),
            ("GMAC/s", .number(Double(counters.multiplications) / max(seconds, 1e-9) / 1e9)),
        ]
        return (facts, counters.rows)
    }

    // MARK: hydrate

    private func hydrate(_ answers: [Answer]) throws -> [ResultRow] {
        var rows: [ResultRow] = []
        for (name, answer) in zip(query.answerNames, answers) {
            for end in [answer.top, answer.bottom] where end.limit > 0 {
                for (index, scored) in end.ranked().enumerated() {
                    try options.cancellation.check()
                    rows.append(try hydrate(scored, rank: index + 1, end: end.end, query: name))
                }
            }
        }
        return rows
    }

    private func hydrate(
        _ scored: ScoredRow, rank: Int, end: RankingEnd, query name: String
    ) throws -> ResultRow {
        let record = try query.view.record(row: scored.row)
        let values = query.columns.map { column -> FieldValue? in
            switch column.source {
            case .id: record.id.fieldValue
            case .row: .int(Int64(scored.row))
            case .score: .float(scored.score)
            case .rank: .int(Int64(rank))
            case .query: .string(name)
            case .checkpoint: .string(query.checkpoints.map(\.document.name).joined(separator: "+"))
            case .field(let index): record.values[index]
            }
        }
        return ResultRow(
            query: name, rank: rank, end: end, id: record.id, score: scored.score, values: values)
    }
}
