// Rows with the highest scores for a task (LESS: Xia and others, ICML 2024), as the statement with TOP
// selects them. What takes long, the scans, goes checkpoint by checkpoint and some queries at a time;
// the sums that each leaves are kept in a file, so that a later command goes on behind the last one.
//
//   MEAN, SUM   within a checkpoint the queries are added up, then the checkpoints by their weights
//   MAX         the checkpoints are added up for some queries, then the largest is taken

import GradDB

public struct InfluenceOptions: Sendable {
    public enum Reduction: String, Sendable, CaseIterable { case mean, max, sum }
    public enum Measure: String, Sendable, CaseIterable { case cosine, dot }

    public var scope: SelectionScopeOptions
    /// A file of query vectors.
    public var query: String
    public var reduction = Reduction.mean
    public var measure = Measure.cosine
    public var preconditioner: String?
    public var size: SelectionSize
    /// Where the chosen rows will be written: progress is kept beside it.
    public var output: String
    public var resumes = false

    public init(
        _ scope: SelectionScopeOptions, query: String, size: SelectionSize, output: String
    ) {
        self.scope = scope
        self.query = query
        self.size = size
        self.output = output
    }

    /// The statement with the same answer.
    package var statement: String {
        get throws {
            let score =
                "\(measure.rawValue) TO \(Spelling.string(query)) \(reduction.rawValue.uppercased())"
            var clauses = ["TOP \(size.limit)"]
            if let preconditioner {
                clauses.append("PRECONDITION \(Spelling.name(preconditioner))")
            }
            return try scope.statement(score: score, clauses: clauses)
        }
    }
}

public struct InfluenceSelection {
    private let query: BoundQuery
    private let options: QueryOptions
    private let isResumed: Bool
    private let parts: [Range<Int>]
    private var progress: SelectionProgress
    /// What the steps that were done have left.
    private let total: ScoreTable
    private var running: ScoreTable
    private var stepsDone = 0

    /// Queries of one scan, and what they may take.
    private static let mostQueries = 64
    private static let queryBytes = 256 << 20

    /// Binds the selection, and reads the state of an earlier command under `resumes`.
    ///
    /// - Throws: as binding the statement, and reading the progress.
    public init(_ database: Database, _ options: InfluenceOptions) throws {
        let statement = try options.statement
        query = try QueryEngine(database, options: options.scope.queryOptions)
            .prepare(statement).query
        self.options = options.scope.queryOptions
        let vectorBytes = query.layers.reduce(1) { $0 + 8 * $1.dims }
        let size = max(1, min(Self.mostQueries, Self.queryBytes / vectorBytes))
        let count = query.queryCount
        parts = stride(from: 0, to: count, by: size).map { $0..<min(count, $0 + size) }
        let digest = try query.queries.digest(
            checkpoints: query.checkpoints.count, self.options.cancellation)
        // The vectors too, so that another file of the same name is another question.
        progress = try SelectionProgress(
            output: options.output,
            question: """
                \(statement)
                of \(try database.identity), snapshot \(query.view.snapshot), \(count) queries of \
                \(digest), \(size) at a time
                """)
        total = Self.emptySums(query)
        running = Self.emptySums(query)
        guard options.resumes else {
            isResumed = false
            try progress.remove()
            return
        }
        let numbers = try progress.read()
        isResumed = numbers != nil
        if let numbers { try restore(numbers) }
    }

    // MARK: steps

    /// Whether queries are looked at across all checkpoints, and not checkpoint by checkpoint.
    private var goesByQueries: Bool { query.reduction == .max && query.isWeighted }

    private var steps: Int {
        goesByQueries ? parts.count : query.checkpoints.count * parts.count
    }

    private static func emptySums(_ query: BoundQuery) -> ScoreTable {
        ScoreTable(
            answers: 1, rows: .all(Int(query.view.rowLimit)),
            initial: query.reduction == .max ? -.infinity : 0)
    }

    /// Scores all rows, and chooses.
    ///
    /// - Parameter report: called now and then: what is being done, and how much of it is done.
    public mutating func run(report: Duplicates.Progress) throws -> SelectionResult {
        let filter = try query.rows(options)
        var builder = try ScoreTableBuilder(query, filter: filter, options: options)
        while stepsDone < steps {
            report("scoring", Double(stepsDone) / Double(steps))
            if goesByQueries {
                total.takeLargest(of: try builder.each(parts[stepsDone], total.rows))
            } else {
                try add(
                    &builder, checkpoint: stepsDone / parts.count, part: stepsDone % parts.count)
            }
            stepsDone += 1
            let (step, total, running) = (stepsDone, self.total, self.running)
            try progress.write { [UInt64(step)] + total.numbers + running.numbers }
        }
        if query.isWeighted { try builder.refuseOverflow(total) }
        var scores: [ScoredRow] = []
        total.forEach(answer: 0) { scores.append(ScoredRow(score: $1, row: $0)) }
        let chosen = Ranking(scores, query.limits).ends(areKnown: false).first?.rows ?? []
        return SelectionResult(
            view: query.view, rows: chosen.map { ChosenRow(row: $0.row, score: $0.score) },
            candidates: scores.count, zeroRows: 0, radius: nil, isResumed: isResumed,
            progress: progress)
    }

    /// Adds a part of the queries to what a checkpoint's come to, and the last one's to the total.
    private mutating func add(
        _ builder: inout ScoreTableBuilder, checkpoint: Int, part: Int
    ) throws {
        if part == 0 { running = Self.emptySums(query) }
        let running = running
        try builder.scan(QueryPart(query, parts[part], options: options), checkpoint) {
            scorer, scores in
            running.update(at: running.positions(of: scores.rows, scores.mask)) {
                scorer.fold(scores, into: &$0)
            }
        }
        guard part == parts.count - 1 else { return }
        if query.reduction == .mean { running.divide(by: Double(query.queryCount)) }
        total.add(running, weight: builder.weight(query.checkpoints[checkpoint]))
    }

    private mutating func restore(_ numbers: [UInt64]) throws {
        let size = (numbers.count - 1) / 2
        guard numbers.count == 1 + 2 * size, let step = Int(exactly: numbers[0]), step <= steps,
            total.restore(numbers[1..<1 + size]), running.restore(numbers[(1 + size)...])
        else {
            throw GradDBError(.badInput, "the progress of the selection does not fit the table")
        }
        stepsDone = step
    }
}
