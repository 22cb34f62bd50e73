// Which matrices are to be made, before anything is read: names resolved, choices checked.

struct PreconditionPlan {
    /// One matrix to be made.
    struct Part {
        var layer: Layer
        var checkpoint: CheckpointDocument
        var kind: PreconditionerKind
    }

    let view: TableView
    /// By checkpoint, in the table's order of layers.
    let parts: [[Part]]
    let rank: Int
    let number: UInt32

    /// - Throws: `.usage` for names and choices that make no sense, `.failed` without rows.
    init(_ view: TableView, _ options: PreconditionOptions) throws {
        let table = view.table
        self.view = view
        try TableSchema.validate(name: options.name, of: "preconditioner")
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        guard !view.preconditioners.contains(where: { $0.name == options.name }) else {
            throw GradDBError.usage(
                "table '\(table.name)' has a preconditioner '\(options.name)' already; choose "
                    + "another name, or remove it first with --remove")
        }
        number = table.preconditioners.reduce(0) { max($0, $1.number + 1) }
        rank = options.rank ?? PreconditionOptions.standardRank
        guard rank >= 1 else { throw GradDBError.usage("a rank is at least 1, not \(rank)") }
        if let damping = options.damping, !damping.isFinite || damping < 0 {
            throw GradDBError.usage("the damping is \(damping); it must be a number from 0 on")
        }
        let layers = try table.layers(matching: options.layers)
        let checkpoints = try view.checkpoints(named: options.checkpoints)
        parts = try checkpoints.map { checkpoint in
            try layers.map { layer in
                Part(
                    layer: layer, checkpoint: checkpoint,
                    kind: try Self.kind(for: layer, options))
            }
        }
        guard options.rank == nil || parts.joined().contains(where: { $0.kind == .woodbury })
        else { throw GradDBError.usage("a rank is for the kind woodbury; no layer has it here") }
    }

    private static func kind(
        for layer: Layer, _ options: PreconditionOptions
    ) throws -> PreconditionerKind {
        let kind = options.kind ?? .standard(dims: layer.dims)
        if kind == .dense, layer.dims > PreconditionerKind.maxDenseDims {
            throw GradDBError.usage(
                "layer '\(layer.name)' has \(layer.dims) dims; a dense preconditioner is of at "
                    + "most \(PreconditionerKind.maxDenseDims): use --kind woodbury or diagonal")
        }
        if kind == .woodbury, options.damping == 0 {
            throw GradDBError.usage(
                "layer '\(layer.name)': a woodbury preconditioner needs a damping above 0")
        }
        return kind
    }
}

extension Table {
    /// Layers that match any of the patterns, in the table's order; all of them without patterns.
    fileprivate func layers(matching patterns: [String]) throws -> [Layer] {
        guard !patterns.isEmpty else { return layers }
        for pattern in patterns where !layers.contains(where: { Glob(pattern).matches($0.name) }) {
            throw GradDBError.usage(
                "no layer of table '\(name)' matches '\(pattern)'; it has: "
                    + Self.listed(layers.map(\.name)))
        }
        return layers.filter { layer in
            patterns.contains { Glob($0).matches(layer.name) }
        }
    }

    fileprivate static func listed(_ names: [String]) -> String {
        names.prefix(12).joined(separator: ", ") + (names.count > 12 ? ", …" : "")
    }
}

extension TableView {
    /// Each once, in the order of the names; without names the newest.
    fileprivate func checkpoints(named names: [String]) throws -> [CheckpointDocument] {
        var chosen: [CheckpointDocument] = []
        for name in names {
            guard let checkpoint = checkpoint(named: name) else {
                throw GradDBError.usage(
                    "table '\(table.name)' has no checkpoint '\(name)'; it has: "
                        + Table.listed(checkpoints.map(\.name)))
            }
            guard !chosen.contains(where: { $0.checkpoint == checkpoint.checkpoint }) else {
                throw GradDBError.usage("checkpoint '\(name)' is named twice; name each once")
            }
            chosen.append(checkpoint)
        }
        if names.isEmpty, let newestCheckpoint { chosen = [newestCheckpoint] }
        let empty = try chosen.first { try rowCount(of: $0) == 0 }
        guard !chosen.isEmpty, empty == nil else {
            throw GradDBError(
                .failed,
                empty.map { "checkpoint '\($0.name)' of table '\(table.name)' has no rows" }
                    ?? "table '\(table.name)' has no rows; ingest some first")
        }
        return chosen
    }
}
