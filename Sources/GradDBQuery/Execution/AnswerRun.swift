// The answers of one statement, part by part: each part's rows are selected and handed over before
// the next part is scored.

import GradDB

struct AnswerRun {
    private let query: BoundQuery
    private let ladder: Ladder
    private let choice: PlanChoice
    /// Rows that may be in an answer, unless the condition is asked last: then those that the snapshot
    /// has. Nil is all.
    private var filter: RowSet?
    private var isConditionLast: Bool
    private let options: QueryOptions
    private let deadline: ContinuousClock.Instant?
    /// Rows that have a score, where one checkpoint says which.
    private var rowCount: Int
    private var parts: QueryParts
    private let groupIndex: GroupIndex?
    private let hydrator: Hydrator

    // What happened.
    private var passes: [ScanPass] = []
    private var layerPasses: [ScanPass] = []
    /// Rows that were scored.
    private var scored = 0
    private var groupCount = 0
    private var handedOver = 0
    private var selected = 0
    private var filterSeconds = 0.0
    private var hydrateSeconds = 0.0

    init(
        _ query: BoundQuery, _ ladder: Ladder, _ choice: PlanChoice, options: QueryOptions,
        deadline: ContinuousClock.Instant?
    ) throws {
        self.query = query
        self.ladder = ladder
        self.choice = choice
        var options = options
        if !choice.chosen.isOnDevice { options.device = nil }
        self.options = options
        self.deadline = deadline
        isConditionLast = choice.chosen.overshoot != nil
        rowCount = 0
        parts = QueryParts(query, rowCount: 0, limits: (0, 0), options: options)
        groupIndex = try query.grouping.map {
            try GroupIndex(query.view, by: $0.column, options.cancellation)
        }
        hydrator = Hydrator(query)
        if isConditionLast { filter = try query.view.liveRows } else { try filterRows() }
        rowCount = try countRows()
        var limits = query.limits.resolved(of: rowCount)
        if let overshoot = choice.chosen.overshoot {
            limits = RunningSelection.limits(limits, overshoot)
        }
        parts = QueryParts(query, rowCount: rowCount, limits: limits, options: options)
    }

    /// Asks the condition of all rows.
    private mutating func filterRows() throws {
        let started = ContinuousClock.now
        filter = try query.rows(options, known: choice.filter?.masks ?? [:])
        filterSeconds = (ContinuousClock.now - started).seconds
    }

    private func countRows() throws -> Int {
        guard query.checkpoints.count == 1 else { return 0 }
        return try query.view.rowCount(of: query.checkpoints[0].document, passing: filter)
    }

    /// Answers all queries, in order.
    mutating func answer(into sink: any ResultSink) throws {
        // What runs into one value a row belongs together; else each part has its own answers.
        let groups = query.reduction == .each ? parts.parts.map { [$0] } : [parts.parts]
        for (number, parts) in groups.enumerated() {
            // Each part gets an equal share of the time that is left.
            let end = deadline.map { end in
                ContinuousClock.now + (end - .now) / (groups.count - number)
            }
            switch self.parts.route {
            case .running: try answerRunning(parts, until: end, into: sink)
            case .table: try answerFromTable(parts, into: sink)
            }
        }
    }

    // MARK: select

    private mutating func answerRunning(
        _ parts: [Range<Int>], until deadline: ContinuousClock.Instant?, into sink: any ResultSink
    ) throws {
        let part = QueryPart(query, parts[0], options: options)
        guard let checkpoint = query.checkpoints.first else { return }
        let selection = RunningSelection(
            part: part, checkpoint: checkpoint.document, choice: choice, ladder: ladder,
            options: options, deadline: deadline)
        var found = try selectAskingLast(selection)
        if found == nil { found = try selection.selected(filter, rowCount: rowCount) }
        guard let found else { return }
        passes += found.passes
        scored = max(scored, found.rows)
        let ends = found.ends
        try handOver(ends.count, of: parts, groups: nil, into: sink) { ends[$0] }
    }

    /// Nil where the condition is asked first, as it is from here on if it keeps too few.
    private mutating func selectAskingLast(_ selection: RunningSelection) throws -> Selected? {
        guard isConditionLast, let predicate = query.predicate else { return nil }
        if let found = try selection.selected(asking: predicate, filter, rowCount: rowCount) {
            return found
        }
        isConditionLast = false
        try filterRows()
        rowCount = try countRows()
        return nil
    }

    private mutating func answerFromTable(
        _ parts: [Range<Int>], into sink: any ResultSink
    ) throws {
        var builder = try ScoreTableBuilder(query, filter: filter, options: options)
        let table = try builder.table(parts, rows: .all(Int(query.view.rowLimit)))
        passes += builder.passes
        scored = max(scored, table.presentCount)
        let groups = groupIndex.map { ScoredGroups($0, in: table) }
        let count = groups?.count ?? table.presentCount
        groupCount = groups?.count ?? 0
        let query = query
        try handOver(table.answers, of: parts, groups: groups, into: sink) { answer in
            var rows: [ScoredRow] = []
            if let groups, let reduction = query.grouping?.reduction {
                rows = try groups.scores(table, answer: answer, reduction)
            } else {
                rows.reserveCapacity(count)
                table.forEach(answer: answer) { rows.append(ScoredRow(score: $1, row: $0)) }
            }
            return Ranking(rows, query.limits).ends(areKnown: query.budget != nil)
        }
    }

    // MARK: hand over

    /// Rows of one end of an answer that are hydrated together.
    private struct Slice {
        var answer: Int
        var end: RankedEnd
        var ranks: Range<Int>
    }

    /// Hydrates the answers of some parts, one after the other.
    private mutating func handOver(
        _ answers: Int, of parts: [Range<Int>], groups: ScoredGroups?, into sink: any ResultSink,
        _ ends: (Int) throws -> [RankedEnd]
    ) throws {
        var batch: [Slice] = []
        var batched = 0
        let most = LayerScores.batchSize(answers: answers, layers: query.layers.count)
        for answer in 0..<answers {
            for end in try ends(answer) {
                guard query.isPerLayer else {
                    let slice = Slice(answer: answer, end: end, ranks: end.rows.indices)
                    try handOver(slice, of: parts, groups: groups, into: sink)
                    continue
                }
                var first = 0
                while first < end.rows.count {
                    let last = min(end.rows.count, first + most - batched)
                    batch.append(Slice(answer: answer, end: end, ranks: first..<last))
                    batched += last - first
                    first = last
                    guard batched == most else { continue }
                    try handOverLayers(batch, of: parts, groups: groups, into: sink)
                    batch = []
                    batched = 0
                }
            }
        }
        if !batch.isEmpty { try handOverLayers(batch, of: parts, groups: groups, into: sink) }
    }

    private mutating func handOver(
        _ slice: Slice, of parts: [Range<Int>], groups: ScoredGroups?, into sink: any ResultSink,
        layers: [[Double]] = []
    ) throws {
        let started = ContinuousClock.now
        let name = try query.answerName((parts.first?.lowerBound ?? 0) + slice.answer)
        for rank in slice.ranks {
            try options.cancellation.check()
            var row = slice.end.rows[rank]
            guard query.isPerLayer else {
                try sink.append(
                    try hydrator.hydrated(
                        row, rank: rank + 1, in: slice.end, groups: groups, query: name))
                handedOver += 1
                continue
            }
            for (layer, scores) in zip(query.layers, layers) {
                row.score = scores[rank - slice.ranks.lowerBound]
                row.interval = query.budget == nil ? nil : row.score...row.score
                try sink.append(
                    try hydrator.hydrated(
                        row, rank: rank + 1, in: slice.end, groups: groups, query: name,
                        layer: layer.name))
                handedOver += 1
            }
        }
        selected += slice.ranks.count
        hydrateSeconds += (ContinuousClock.now - started).seconds
    }

    private mutating func handOverLayers(
        _ batch: [Slice], of parts: [Range<Int>], groups: ScoredGroups?, into sink: any ResultSink
    ) throws {
        // They are few, and a device would be brought whole row groups.
        var options = options
        options.device = nil
        var layers = LayerScores(query, filter: filter, groups: groups, options: options)
        let scores = try layers.scores(
            of: batch.map { slice in
                ChosenRows(
                    answer: slice.answer, rows: slice.ranks.map { slice.end.rows[$0].row })
            }, parts)
        layerPasses += layers.passes
        for (number, slice) in batch.enumerated() {
            try handOver(
                slice, of: parts, groups: groups, into: sink, layers: scores.map { $0[number] })
        }
    }

    // MARK: what happened

    /// Fills in what happened at each operator.
    func record(in plan: inout PlanNode) {
        plan.record(
            passes, checkpoints: parts.route == .table ? max(1, query.checkpoints.count) : 1)
        // These run inside the scan, on its threads and in its time: only their rows are known.
        let filtered: [(key: String, value: PlanValue)] = [
            ("rows", .count(filter?.count ?? selected)), ("seconds", .number(filterSeconds)),
        ]
        // One filter serves the scans of all checkpoints.
        plan.record(
            "filter", Array(repeating: filtered, count: max(1, query.checkpoints.count)))
        for name in ["score", "reduce", "sum"] {
            plan.record(name, [[("rows", .count(scored))]])
        }
        plan.record("group", [[("groups", .count(groupCount))]])
        plan.record("select", [[("rows", .count(selected))]])
        if !layerPasses.isEmpty { plan.record("per layer", [ScanPass.facts(layerPasses)]) }
        plan.record(
            "hydrate", [[("rows", .count(handedOver)), ("seconds", .number(hydrateSeconds))]])
    }
}

extension TableView {
    /// Rows of a checkpoint that pass a filter, which has none that are deleted.
    func rowCount(of checkpoint: CheckpointDocument, passing filter: RowSet?) throws -> Int {
        let rows = storedRowCount(of: checkpoint)
        guard let filter else { return rows }
        guard UInt64(rows) < rowLimit else { return filter.count }
        // Some of the rows that pass are not in this checkpoint.
        return try units(of: checkpoint).reduce(0) { sum, unit in
            sum + (try rowMap(unit.segment, group: unit.group).count(where: filter.contains))
        }
    }
}
