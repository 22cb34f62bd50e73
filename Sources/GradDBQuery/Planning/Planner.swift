// Describes how a bound query will run: the operators, bottom up, with what each is expected to
// read. The executor fills in what happened.

import GradDB

package struct Planner {
    private let query: BoundQuery
    private let ladder: Ladder
    private let choice: PlanChoice
    private let threads: Int

    package init(_ query: BoundQuery, _ ladder: Ladder, _ choice: PlanChoice, threads: Int) {
        self.query = query
        self.ladder = ladder
        self.choice = choice
        self.threads = threads
    }

    package func plan() throws -> QueryPlan {
        QueryPlan(root: try root(), choice: choice)
    }

    private var isConditionLast: Bool { choice.chosen.overshoot != nil }

    private func root() throws -> PlanNode {
        let rows =
            try query.checkpoints.map { try query.view.rowCount(of: $0.document) }.max() ?? 0
        var node = try score()
        if query.reduction != .each, query.queryCount > 0 {
            node = PlanNode(
                "reduce",
                [("\(query.reduction.rawValue) over", .text("\(query.queryCount) queries"))],
                inputs: [node])
        }
        if query.isWeighted {
            let terms = query.checkpoints.map { "\($0.document.name) x \($0.weight)" }
            node = PlanNode(
                "sum", [("across", .text(terms.joined(separator: " + ")))], inputs: [node])
        }
        if let grouping = query.grouping {
            node = PlanNode(
                "group",
                [
                    ("by", .text(grouping.column.name)),
                    ("with", .text(grouping.reduction.rawValue)),
                ], inputs: [node])
        }
        let limits = query.limits.resolved(of: rows)
        let wanted = (min(rows, limits.top) + min(rows, limits.bottom)) * query.answerCount
        node = PlanNode(
            "select", selection, estimate: [("rows", .count(wanted))], inputs: [node])
        if isConditionLast { node = filter(below: [node]) }
        if query.isPerLayer {
            let layers = query.layers.map(\.name)
            node = PlanNode(
                "per layer", [("layers", .text(Self.list(layers)))],
                estimate: [("rows", .count(wanted * layers.count))], inputs: [node])
        }
        let columns =
            ["id", "score"] + query.columns.map(\.name).filter { $0 != "id" && $0 != "score" }
        return PlanNode(
            "hydrate", [("columns", .text(columns.joined(separator: ", ")))],
            estimate: [("rows", .count(query.isPerLayer ? wanted * query.layers.count : wanted))],
            inputs: [node])
    }

    /// Names for a plan: the first few.
    private static func list(_ names: [String]) -> String {
        let shown = names.prefix(4).joined(separator: ", ")
        return names.count > 4 ? "\(shown), … (\(names.count))" : shown
    }

    private var selection: [(key: String, value: PlanValue)] {
        var detail: [(key: String, value: PlanValue)] = []
        if query.limits.isAll { detail.append(("all", .text("yes"))) }
        for (end, limit) in [("top", query.limits.top), ("bottom", query.limits.bottom)] {
            switch limit {
            case nil: break
            case .rows(let rows)?: detail.append((end, .count(rows)))
            case .percent(let percent)?: detail.append((end, .text("\(percent)%")))
            }
        }
        let tie = query.grouping == nil ? "row number" : "first row's number"
        detail.append(("order", .text("score, then \(tie)")))
        if query.answerCount > 1 { detail.append(("answers", .count(query.answerCount))) }
        return detail
    }

    private func score() throws -> PlanNode {
        let layers = zip(query.layers, query.tiers[0]).map { layer, encoding in
            "\(layer.name):\(layer.dims):\(encoding.codec.rawValue)"
        }
        var scans: [PlanNode] = []
        for checkpoint in query.checkpoints { scans.append(try scan(checkpoint.document)) }
        return PlanNode(
            "score",
            [
                ("measure", .text(query.measure.rawValue)), ("queries", .count(query.queryCount)),
                ("layers", .text(Self.list(layers))),
            ]
                + (query.preconditioner.map { [("precondition", .text($0.description))] } ?? []),
            inputs: scans)
    }

    private func scan(_ checkpoint: CheckpointDocument) throws -> PlanNode {
        if query.measure == .`self` { return norms(checkpoint) }
        let segments = query.view.segments(of: checkpoint)
        let rows = segments.reduce(0) { $0 + $1.rows }
        let groups = segments.reduce(0) { $0 + $1.rowGroups }
        let kernels = try KernelSet.chosen()
        let slabs = ladder.exact.columns.reduce(0) { $0 + $1.slabs }
        // What is known of the plan is known of all its scans together.
        let scans = Double(query.checkpoints.count)
        let chosen = choice.chosen
        let seconds = chosen.seconds - (isConditionLast ? 0 : choice.filterSeconds)
        return PlanNode(
            "scan",
            [
                ("table", .text(query.view.table.name)),
                ("snapshot", .count(Int(query.view.snapshot))),
                ("checkpoint", .text(checkpoint.name)), ("segments", .count(segments.count)),
                ("kernel", .text(kernels.name)), ("threads", .count(threads)),
                ("scores", .text(chosen.name)),
            ] + accuracy,
            estimate: [
                ("rows", .count(rows)), ("row groups", .count(groups)),
                ("blocks", .count(groups * slabs)),
                ("bytes", .count(Int(chosen.bytes / scans))),
                ("seconds", .number(max(0, seconds) / scans)),
            ], inputs: query.predicate == nil || isConditionLast ? [] : [filter(below: [])])
    }

    /// Norms stand at the heads of the first blocks.
    private func norms(_ checkpoint: CheckpointDocument) -> PlanNode {
        let segments = query.view.segments(of: checkpoint)
        let groups = segments.reduce(0) { $0 + $1.rowGroups }
        return PlanNode(
            "scan",
            [
                ("table", .text(query.view.table.name)),
                ("snapshot", .count(Int(query.view.snapshot))),
                ("checkpoint", .text(checkpoint.name)), ("segments", .count(segments.count)),
                ("reads", .text("norms")), ("threads", .count(threads)),
            ] + accuracy,
            estimate: [
                ("rows", .count(segments.reduce(0) { $0 + $1.rows })),
                ("row groups", .count(groups)),
                ("blocks", .count(query.preconditioner == nil ? groups * query.layers.count : 0)),
            ], inputs: query.predicate == nil ? [] : [filter(below: [])])
    }

    private var accuracy: [(key: String, value: PlanValue)] {
        let rungs = (ladder.rungs + [ladder.exact]).map(\.label).joined(separator: ", ")
        return switch query.accuracy {
        case .exact: [("exact", .text("yes"))]
        case .confidence where !mayEstimate, .budget where !mayEstimate:
            [("exact", .text("yes, nothing can be estimated from less"))]
        case .confidence(let probability):
            [("confidence", .number(probability)), ("rungs", .text(rungs))]
        case .budget(let seconds):
            [("budget", .text("\(seconds) s")), ("rungs", .text(rungs))]
        }
    }

    /// Whether the language lets scores of such statements be estimated, and there is a way to.
    private var mayEstimate: Bool {
        let isSimple =
            query.measure != .`self` && !query.isWeighted && query.grouping == nil
            && !query.limits.isAll && (query.reduction == .each || query.reduction == .mean)
        return isSimple && (query.budget != nil || !ladder.rungs.isEmpty)
    }

    /// Below a scan it is asked of all rows; above the selection, of the best of them.
    private func filter(below inputs: [PlanNode]) -> PlanNode {
        let condition = SourceExcerpt.printable(query.statement.filter.map { "\($0)" } ?? "")
        let columns = query.predicate?.columns.map(\.name).joined(separator: ", ") ?? ""
        var estimate: [(key: String, value: PlanValue)] = []
        if let filter = choice.filter {
            let passing = Double(query.view.rowLimit) * filter.share
            estimate.append(("rows", .count(Int(passing.rounded()))))
            if !isConditionLast { estimate.append(("seconds", .number(choice.filterSeconds))) }
        }
        return PlanNode(
            "filter",
            [
                ("where", .text(condition)), ("columns", .text(columns)),
                ("asked", .text(isConditionLast ? "in the order of scores" : "first")),
            ], estimate: estimate, inputs: inputs)
    }
}

extension PlanNode {
    /// Records what happened at every operator called `name`, in tree order.
    mutating func record(_ name: String, _ facts: [[(key: String, value: PlanValue)]]) {
        var remaining = facts[...]
        fill(name, &remaining)
    }

    /// Records the passes of a selection: one for each checkpoint's scan, or all of them at the one
    /// scan, their sum and each of them below it.
    mutating func record(_ passes: [ScanPass], checkpoints: Int) {
        guard let first = passes.first else { return }
        guard checkpoints == 1 else {
            let scans = (0..<checkpoints).map { checkpoint in
                passes.filter { $0.checkpoint == checkpoint }
            }
            record("scan", scans.map(ScanPass.facts))
            return
        }
        record("scan", [passes.count == 1 ? first.facts : ScanPass.facts(passes)])
        guard passes.count > 1 else { return }
        insert(
            passes.map { pass in
                var node = PlanNode("pass", [("to", .text(pass.name))])
                node.actual = pass.facts
                return node
            }, below: "scan")
    }

    private mutating func insert(_ nodes: [PlanNode], below name: String) {
        if self.name == name {
            inputs = nodes + inputs
        } else {
            for index in inputs.indices { inputs[index].insert(nodes, below: name) }
        }
    }

    private mutating func fill(
        _ name: String, _ facts: inout ArraySlice<[(key: String, value: PlanValue)]>
    ) {
        if self.name == name, let next = facts.popFirst() { actual = next }
        for index in inputs.indices { inputs[index].fill(name, &facts) }
    }
}
