// Describes how a bound query will run: the operators, bottom up, with what each is expected to
// read. The executor fills in what happened.

import GradDB

package struct Planner {
    package let query: BoundQuery
    package let ladder: Ladder
    package let threads: Int

    package init(_ query: BoundQuery, _ ladder: Ladder, threads: Int) {
        self.query = query
        self.ladder = ladder
        self.threads = threads
    }

    package func plan() throws -> PlanNode {
        let rows = query.checkpoints.map { query.view.rowCount(of: $0.document) }.max() ?? 0
        var node = try score()
        if query.reduction == .mean {
            node = PlanNode(
                "reduce", [("mean over", .text("\(query.queryCount) queries"))], inputs: [node])
        }
        if query.isWeighted {
            let terms = query.checkpoints.map { "\($0.document.name) x \($0.weight)" }
            node = PlanNode(
                "sum", [("across", .text(terms.joined(separator: " + ")))], inputs: [node])
        }
        let wanted = min(rows, query.top) + min(rows, query.bottom)
        node = PlanNode(
            "select", selection, estimate: [("rows", .count(wanted * query.answerNames.count))],
            inputs: [node])
        let columns =
            ["id", "score"] + query.columns.map(\.name).filter { $0 != "id" && $0 != "score" }
        return PlanNode(
            "hydrate", [("columns", .text(columns.joined(separator: ", ")))],
            estimate: [("rows", .count(wanted * query.answerNames.count))], inputs: [node])
    }

    private var selection: [(key: String, value: PlanValue)] {
        var detail: [(key: String, value: PlanValue)] = []
        if query.top > 0 { detail.append(("top", .count(query.top))) }
        if query.bottom > 0 { detail.append(("bottom", .count(query.bottom))) }
        detail.append(("order", .text("score, then row number")))
        if query.answerNames.count > 1 {
            detail.append(("answers", .count(query.answerNames.count)))
        }
        return detail
    }

    private func score() throws -> PlanNode {
        let layers = zip(query.layers, query.tiers[0]).map { layer, encoding in
            "\(layer.name):\(layer.dims):\(encoding.codec.rawValue)"
        }
        let shown = layers.prefix(4).joined(separator: ", ")
        var scans: [PlanNode] = []
        for checkpoint in query.checkpoints { scans.append(try scan(checkpoint.document)) }
        return PlanNode(
            "score",
            [
                ("measure", .text(query.measure.rawValue)), ("queries", .count(query.queryCount)),
                ("layers", .text(layers.count > 4 ? "\(shown), … (\(layers.count))" : shown)),
            ], inputs: scans)
    }

    private func scan(_ checkpoint: CheckpointDocument) throws -> PlanNode {
        let segments = query.view.segments(of: checkpoint)
        let rows = segments.reduce(0) { $0 + $1.rows }
        let groups = segments.reduce(0) { $0 + $1.rowGroups }
        let kernels = try KernelSet.chosen()
        let slabs = ladder.exact.columns.reduce(0) { $0 + $1.slabs }
        let rowBytes = ladder.exact.rowBytes
        return PlanNode(
            "scan",
            [
                ("table", .text(query.view.table.name)),
                ("snapshot", .count(Int(query.view.snapshot))),
                ("checkpoint", .text(checkpoint.name)), ("segments", .count(segments.count)),
                ("kernel", .text(kernels.name)), ("threads", .count(threads)),
            ] + accuracy,
            estimate: [
                ("rows", .count(rows)), ("row groups", .count(groups)),
                ("blocks", .count(groups * slabs)), ("bytes", .count(rows * rowBytes)),
            ] + seconds(rows: rows),
            inputs: query.predicate == nil ? [] : [filter()])
    }

    /// How long an exact scan takes from memory, where `gradctl bench` has measured this machine.
    private func seconds(rows: Int) -> [(key: String, value: PlanValue)] {
        // Reading the profile takes longer than answering from a small table.
        guard query.statement.explain != nil, let profile = MachineProfile.load(threads: threads)
        else { return [] }
        let exact = ladder.exact
        let seconds = exact.columns.reduce(0.0) { sum, column in
            let bytes = min(column.slabs * SlabGeometry.slabBytes, exact.rowBytes)
            return sum
                + profile.seconds(
                    of: column.encoding.codec, bytes: Double(rows * bytes),
                    queries: query.queryCount)
        }
        return seconds > 0 ? [("seconds", .number(seconds))] : []
    }

    private var accuracy: [(key: String, value: PlanValue)] {
        let rungs = (ladder.rungs + [ladder.exact]).map(\.label).joined(separator: ", ")
        return switch query.accuracy {
        case .exact: [("exact", .text("yes"))]
        case .confidence where query.isWeighted || ladder.rungs.isEmpty:
            [("exact", .text("yes, nothing can be estimated from less"))]
        case .confidence(let probability):
            [("confidence", .number(probability)), ("rungs", .text(rungs))]
        case .budget(let seconds):
            [("budget", .text("\(seconds) s")), ("rungs", .text(rungs))]
        }
    }

    private func filter() -> PlanNode {
        let condition = SourceExcerpt.printable(query.statement.filter.map { "\($0)" } ?? "")
        let columns = query.predicate?.columns.map(\.name).joined(separator: ", ") ?? ""
        return PlanNode(
            "filter", [("where", .text(condition)), ("columns", .text(columns))],
            estimate: [("rows", .count(Int(query.view.rowCount)))])
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
            // Parts of the queries follow one another.
            let scans = (0..<checkpoints).map { checkpoint in
                stride(from: checkpoint, to: passes.count, by: checkpoints).map { passes[$0] }
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
