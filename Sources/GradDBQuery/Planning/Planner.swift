// Describes how a bound query will run: the operators, bottom up, with what each is expected to
// read. The executor fills in what happened.

import GradDB

package struct Planner {
    package let query: BoundQuery
    package let threads: Int

    package init(_ query: BoundQuery, threads: Int) {
        self.query = query
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
        let layers = try query.layers.map { layer in
            let encoding = try query.view.finestEncoding(of: layer)
            return "\(layer.name):\(layer.dims):\(encoding.codec.rawValue)"
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
        let codecs = try query.layers.map { layer in
            let encoding = try query.view.finestEncoding(of: layer)
            return try query.view.table.codec(layer, encoding.codec, kernels)
        }
        let slabs = codecs.reduce(0) { $0 + $1.geometry.slabCount }
        let rowBytes = codecs.reduce(0) { $0 + $1.rowBytes }
        return PlanNode(
            "scan",
            [
                ("table", .text(query.view.table.name)),
                ("snapshot", .count(Int(query.view.snapshot))),
                ("checkpoint", .text(checkpoint.name)), ("segments", .count(segments.count)),
                ("kernel", .text(kernels.name)), ("threads", .count(threads)),
                ("exact", .text("yes")),
            ],
            estimate: [
                ("rows", .count(rows)), ("row groups", .count(groups)),
                ("blocks", .count(groups * slabs)), ("bytes", .count(rows * rowBytes)),
            ],
            inputs: query.predicate == nil ? [] : [filter()])
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

    private mutating func fill(
        _ name: String, _ facts: inout ArraySlice<[(key: String, value: PlanValue)]>
    ) {
        if self.name == name, let next = facts.popFirst() { actual = next }
        for index in inputs.indices { inputs[index].fill(name, &facts) }
    }
}
