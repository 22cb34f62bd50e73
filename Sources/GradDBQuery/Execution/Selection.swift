// What the ways to select rows have in common: their input, the passes they make, and what they
// give.

import GradDB

/// One checkpoint's scores, from which rows are to be selected.
struct SelectionInput: Sendable {
    let query: BoundQuery
    let checkpoint: BoundCheckpoint
    let filter: RowSet?
    let options: QueryOptions
    /// Rows that are scored: those of the checkpoint that pass the filter.
    let rowCount: Int

    init(
        query: BoundQuery, checkpoint: BoundCheckpoint, filter: RowSet?, options: QueryOptions
    ) throws {
        self.query = query
        self.checkpoint = checkpoint
        self.filter = filter
        self.options = options
        let rows = query.view.rowCount(of: checkpoint.document)
        if let filter, UInt64(rows) < query.view.rowCount {
            // Some of the rows that pass are not in this checkpoint.
            rowCount = try query.view.segments(of: checkpoint.document).reduce(0) { sum, segment in
                try (0..<segment.rowGroups).reduce(sum) { sum, group in
                    sum
                        + (try query.view.rowMap(segment, group: group).count(
                            where: filter.contains))
                }
            }
        } else {
            rowCount = filter?.count ?? rows
        }
    }

    func request(_ rung: Rung) -> ScanRequest {
        ScanRequest(
            view: query.view, checkpoint: checkpoint.document, columns: rung.columns,
            queries: checkpoint.queries[rung.tier], filter: filter, threads: options.threads,
            cancellation: options.cancellation)
    }

    /// Scores by the norms of the exact queries, whatever estimates the dot products.
    var scorer: RowScorer { RowScorer(query, queries: checkpoint.exactQueries) }

    var emptyAnswers: [Answer] { query.answerNames.map { _ in Answer(query) } }
}

/// One pass over rows, and what it took.
struct ScanPass {
    var name: String
    var counters: ScanCounters
    var seconds: Double

    /// Runs a scan and takes its time.
    init(_ name: String, _ body: () throws -> ScanCounters) rethrows {
        self.name = name
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
        return [
            ("rows", .count(counters.rows)), ("row groups", .count(counters.rowGroups)),
            ("skipped", .count(counters.skippedRowGroups)), ("blocks", .count(counters.blocks)),
            ("bytes", .count(Int(counters.bytes))), ("seconds", .number(seconds)),
            ("GB/s", .number(Double(counters.bytes) / max(seconds, 1e-9) / 1e9)),
            ("GMAC/s", .number(Double(counters.multiplications) / max(seconds, 1e-9) / 1e9)),
        ]
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

    init(_ end: RankingEnd, _ rows: [RankedRow], expectedRecall: Double) {
        self.end = end
        self.rows = rows
        self.expectedRecall = expectedRecall
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

    /// Adds the answers of other queries.
    mutating func append(_ other: Selected) {
        ends += other.ends
        passes += other.passes
        rows = max(rows, other.rows)
    }

    /// Gives exact scores the intervals that BUDGET promises.
    mutating func markAsKnown() {
        for answer in ends.indices {
            for end in ends[answer].indices {
                ends[answer][end].expectedRecall = 1
                for row in ends[answer][end].rows.indices {
                    let score = ends[answer][end].rows[row].score
                    ends[answer][end].rows[row].interval = score...score
                }
            }
        }
    }
}
