// Fills tables of scores: scans each checkpoint with each part of the queries, and adds up in the
// order that format-spec/codecs.md defines, whatever the parts.

import GradDB

struct ScoreTableBuilder {
    let query: BoundQuery
    /// All chosen layers in their finest encodings.
    let columns: [ScanColumn]
    /// Rows that count; nil is all.
    let filter: RowSet?
    let options: QueryOptions
    private(set) var passes: [ScanPass] = []

    init(_ query: BoundQuery, filter: RowSet?, options: QueryOptions) throws {
        self.query = query
        self.filter = filter
        self.options = options
        columns = try query.definingColumns()
    }

    /// The scores of the answers that some parts of the queries give together: of EACH one part,
    /// else all of them.
    ///
    /// - Throws: `.usage` for weighted sums that are not finite; what scans throw.
    mutating func table(_ parts: [Range<Int>], rows: TableRows) throws -> ScoreTable {
        let table: ScoreTable
        if query.measure == .`self` {
            table = ScoreTable(answers: 1, rows: rows)
            for checkpoint in query.checkpoints.indices { try addNorms(checkpoint, to: table) }
        } else {
            switch query.reduction {
            case .each: table = try each(parts[0], rows)
            case .mean, .sum: table = try sums(parts, rows)
            case .max: table = try largest(parts, rows)
            }
        }
        if query.isWeighted { try refuseOverflow(table) }
        return table
    }

    func weight(_ checkpoint: BoundCheckpoint) -> Double? {
        query.isWeighted ? checkpoint.weight : nil
    }

    // MARK: reductions

    /// An answer for each query of a part.
    mutating func each(_ range: Range<Int>, _ rows: TableRows) throws -> ScoreTable {
        let part = QueryPart(query, range, options: options)
        let table = ScoreTable(answers: range.count, rows: rows)
        for (number, checkpoint) in query.checkpoints.enumerated() {
            let weight = weight(checkpoint)
            try scan(part, number) { scorer, scores in
                let positions = table.positions(of: scores.rows, scores.mask)
                scorer.forEachQuery(scores) { answer, values in
                    table.add(values, at: positions, weight: weight, answer: answer)
                }
            }
        }
        return table
    }

    /// Queries are added up within a checkpoint, and then the checkpoints.
    private mutating func sums(_ parts: [Range<Int>], _ rows: TableRows) throws -> ScoreTable {
        let total = ScoreTable(answers: 1, rows: rows)
        for (number, checkpoint) in query.checkpoints.enumerated() {
            let running = try running(parts, number, rows)
            if query.reduction == .mean { running.divide(by: Double(query.queryCount)) }
            total.add(running, weight: weight(checkpoint))
        }
        return total
    }

    /// The checkpoints are added up by query, and then the largest is taken.
    private mutating func largest(_ parts: [Range<Int>], _ rows: TableRows) throws -> ScoreTable {
        guard query.isWeighted else {
            guard !query.checkpoints.isEmpty else { return ScoreTable(answers: 1, rows: rows) }
            return try running(parts, 0, rows)
        }
        let total = ScoreTable(answers: 1, rows: rows, initial: -.infinity)
        for part in parts { total.takeLargest(of: try each(part, rows)) }
        return total
    }

    /// What all queries come to within one checkpoint, part after part.
    private mutating func running(
        _ parts: [Range<Int>], _ checkpoint: Int, _ rows: TableRows
    ) throws -> ScoreTable {
        let running = ScoreTable(
            answers: 1, rows: rows, initial: query.reduction == .max ? -.infinity : 0)
        for range in parts {
            try scan(QueryPart(query, range, options: options), checkpoint) { scorer, scores in
                running.update(at: running.positions(of: scores.rows, scores.mask)) {
                    scorer.fold(scores, into: &$0)
                }
            }
        }
        return running
    }

    // MARK: scans

    /// Scores all rows of a checkpoint against a part of the queries.
    mutating func scan(
        _ part: QueryPart, _ checkpoint: Int,
        _ consume: @escaping @Sendable (RowScorer, GroupScores) -> Void
    ) throws {
        let queries = try part.encoded(checkpoint: checkpoint, tier: 0)
        let scorer = RowScorer(query, queries: queries)
        let document = query.checkpoints[checkpoint].document
        var request = ScanRequest(
            view: query.view, checkpoint: document, columns: columns, queries: queries,
            filter: filter, threads: options.threads, cancellation: options.cancellation)
        request.squaredNorms = query.squaredNorms(at: document)
        request.device = options.device
        let scan = try Scan(request)
        passes.append(
            try ScanPass("score", checkpoint: checkpoint) {
                try scan.run { _, scores in consume(scorer, scores) }
            })
    }

    /// `self`: the squared norms of rows, without their vectors, or under a preconditioner gᵀH⁻¹g.
    private mutating func addNorms(_ number: Int, to table: ScoreTable) throws {
        let checkpoint = query.checkpoints[number]
        let norms = try RowNorms(query.view, layers: query.layers, encodings: query.tiers[0])
        let units = query.view.units(of: checkpoint.document)
        let weight = weight(checkpoint)
        let (query, view, filter, options) = (query, query.view, filter, options)
        passes.append(
            try ScanPass("norms", checkpoint: number) {
                let rows = try Parallel.map(units.count, threads: options.threads) { number in
                    try options.cancellation.check()
                    let unit = units[number]
                    let rows = try view.rowMap(unit.segment, group: unit.group)
                    let mask = filter.map { filter in rows.map(filter.contains) }
                    guard mask?.contains(true) ?? true else { return 0 }
                    let positions = table.positions(of: rows, mask)
                    let squares =
                        try query.preconditioner?.stored.squaredNorms(
                            of: unit, layers: query.layers, checkpoint: checkpoint.document)
                        ?? norms.squaredNorms(of: unit)
                    squares.withUnsafeBufferPointer {
                        table.add($0, at: positions, weight: weight, answer: 0)
                    }
                    return rows.count
                }
                var counters = ScanCounters()
                counters.rows = rows.reduce(0, +)
                counters.rowGroups = rows.count { $0 > 0 }
                counters.skippedRowGroups = rows.count - counters.rowGroups
                let blocks = query.preconditioner == nil ? norms.blocksPerGroup : 0
                counters.blocks = counters.rowGroups * blocks
                return counters
            })
    }

    func refuseOverflow(_ table: ScoreTable) throws {
        for answer in 0..<table.answers {
            try table.forEach(answer: answer) { row, score in
                guard score.isFinite else {
                    throw GradDBError(
                        .usage,
                        "the weighted sum of row \(row) is \(score): the weights of the "
                            + "checkpoints are too large")
                }
            }
        }
    }
}
