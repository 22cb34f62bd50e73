// What the ways to select rows have in common: their input, the passes they make, and what they
// give.

import GradDB

/// One checkpoint's scores, from which rows are to be selected.
struct SelectionInput: Sendable {
    let part: QueryPart
    let checkpoint: CheckpointDocument
    let filter: RowSet?
    let options: QueryOptions
    /// Rows that are scored: those of the checkpoint that pass the filter.
    let rowCount: Int
    /// Rows wanted of each answer, at either end.
    let limits: (top: Int, bottom: Int)
    let scorer: RowScorer

    /// - Throws: what encoding the part's queries throws.
    init(
        _ part: QueryPart, _ checkpoint: CheckpointDocument, filter: RowSet?, rowCount: Int,
        limits: (top: Int, bottom: Int), options: QueryOptions
    ) throws {
        self.part = part
        self.checkpoint = checkpoint
        self.filter = filter
        self.options = options
        self.rowCount = rowCount
        self.limits = limits
        scorer = RowScorer(part.query, queries: try part.encoded(checkpoint: 0, tier: 0))
    }

    var query: BoundQuery { part.query }
    var queryCount: Int { part.queryCount }
    var answerCount: Int { part.answerCount }
    /// Rows wanted of each answer, at both ends together.
    var wanted: Int { limits.top + limits.bottom }

    func request(_ rung: Rung) throws -> ScanRequest {
        var request = ScanRequest(
            view: query.view, checkpoint: checkpoint, columns: rung.columns,
            queries: try part.encoded(checkpoint: 0, tier: rung.tier), filter: filter,
            threads: options.threads, cancellation: options.cancellation)
        request.squaredNorms = query.squaredNorms(at: checkpoint)
        return request
    }

    var emptyAnswers: [Answer] {
        Array(repeating: Answer(top: limits.top, bottom: limits.bottom), count: answerCount)
    }
}

/// One pass over rows, and what it took.
struct ScanPass {
    var name: String
    /// Position among the statement's checkpoints.
    var checkpoint: Int
    var counters: ScanCounters
    var seconds: Double

    /// Runs a scan and takes its time.
    init(
        _ name: String, checkpoint: Int = 0, _ body: () throws -> ScanCounters
    ) rethrows {
        self.name = name
        self.checkpoint = checkpoint
        let started = ContinuousClock.now
        counters = try body()
        seconds = (ContinuousClock.now - started).seconds
    }

    var facts: [(key: String, value: PlanValue)] { Self.facts([self]) }

    /// Of all passes together.
    static func facts(_ passes: [ScanPass]) -> [(key: String, value: PlanValue)] {
        var counters = passes.reduce(into: ScanCounters()) { $0 += $1.counters }
        // Rows are those of the widest pass; the others looked at some of them again.
        counters.rows = passes.map(\.counters.rows).max() ?? 0
        let seconds = passes.reduce(0) { $0 + $1.seconds }
        let device = counters.device.map { $0.facts(seconds: seconds) } ?? []
        return [
            ("rows", .count(counters.rows)), ("row groups", .count(counters.rowGroups)),
            ("skipped", .count(counters.skippedRowGroups)), ("blocks", .count(counters.blocks)),
            ("bytes", .count(Int(counters.bytes))), ("seconds", .number(seconds)),
            ("GB/s", .number(Double(counters.bytes) / max(seconds, 1e-9) / 1e9)),
            ("GMAC/s", .number(Double(counters.multiplications) / max(seconds, 1e-9) / 1e9)),
        ] + device
    }
}

extension DeviceCounters {
    /// What a device did in so many seconds. Copies and kernels go on beside each other: the overlap is
    /// the share of the shorter that the other hid.
    func facts(seconds: Double) -> [(key: String, value: PlanValue)] {
        var facts: [(key: String, value: PlanValue)] = [("device", .text(name))]
        if let failure { return facts + [("device failure", .text(failure))] }
        let shorter = min(copySeconds, computeSeconds)
        let hidden = copySeconds + computeSeconds - seconds
        facts += [
            ("staged bytes", .count(Int(stagedBytes))),
            ("resident bytes", .count(Int(residentBytes))),
            ("copy seconds", .number(copySeconds)), ("kernel seconds", .number(computeSeconds)),
            ("overlap", .number(shorter > 0 ? min(1, max(0, hidden / shorter)) : 0)),
            ("bus GB/s", .number(Double(stagedBytes) / max(copySeconds, 1e-9) / 1e9)),
            (
                "device GB/s",
                .number(Double(stagedBytes + residentBytes) / max(computeSeconds, 1e-9) / 1e9)
            ),
        ]
        if boundedRows > 0 {
            facts += [("bounded rows", .count(boundedRows)), ("rescored", .count(rescored))]
        }
        return facts
    }
}

/// A selected row.
struct RankedRow: Sendable {
    var row: UInt64
    var score: Double
    /// Where the exact score lies, when `score` may be an estimate.
    var interval: ClosedRange<Double>?
}

/// The selected rows of one end of an answer, best first.
struct RankedEnd: Sendable {
    var end: RankingEnd
    var rows: [RankedRow]
    /// The share of the true answer that is expected to be among them; nil where that is 1.
    var expectedRecall: Double?

    init(_ exact: TopRows) {
        end = exact.end
        rows = exact.ranked().map { RankedRow(row: $0.row, score: $0.score) }
    }

    /// All of them, the highest first.
    init(allOf rows: [ScoredRow]) {
        end = .top
        let best = TopRows(.top, limit: 0)
        self.rows = rows.sorted(by: best.isBetter).map { RankedRow(row: $0.row, score: $0.score) }
    }

    init(_ end: RankingEnd, _ rows: [RankedRow], expectedRecall: Double) {
        self.end = end
        self.rows = rows
        self.expectedRecall = expectedRecall
    }

    /// Gives exact scores the intervals that BUDGET promises.
    mutating func markAsKnown() {
        expectedRecall = 1
        for index in rows.indices { rows[index].interval = rows[index].score...rows[index].score }
    }
}

/// What a selection gives.
struct Selected {
    /// By answer.
    var ends: [[RankedEnd]]
    /// In the order in which they ran.
    var passes: [ScanPass]
    /// Rows that were looked at.
    var rows: Int

    init(_ answers: [Answer], passes: [ScanPass]) {
        ends = answers.map { $0.ends.map { RankedEnd($0) } }
        self.passes = passes
        rows = passes.map(\.counters.rows).max() ?? 0
    }

    /// Gives exact scores the intervals that BUDGET promises.
    mutating func markAsKnown() {
        for answer in ends.indices {
            for end in ends[answer].indices { ends[answer][end].markAsKnown() }
        }
    }
}
