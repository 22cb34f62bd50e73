// PRECONDITION: queries become H⁻¹q before they are encoded, and cosine has norms of its own.

import GradDB

/// The preconditioner that a statement names. It has all its layers and checkpoints.
package struct BoundPreconditioner: Sendable {
    let stored: Preconditioner

    /// - Throws: `QueryError` for a name that the snapshot does not have, and for a layer or a
    ///   checkpoint that the preconditioner lacks.
    init?(
        _ statement: Statement, in view: TableView, layers: [Layer],
        checkpoints: [CheckpointDocument]
    ) throws {
        guard let name = statement.preconditioner else { return nil }
        let names = view.preconditioners.map(\.name)
        guard let document = view.preconditioners.first(where: { $0.name == name.value }) else {
            throw statement.error(
                "table '\(view.table.name)' has no preconditioner '\(name.value)'",
                at: name.range,
                expected: names.isEmpty
                    ? "no PRECONDITION, as it has none" : "one of " + ColumnBinder.list(names),
                hint: NearestName.hint(for: name.value, among: names))
        }
        stored = view.open(document)
        for checkpoint in checkpoints {
            for layer in layers where !stored.hasPart(layer: layer, checkpoint: checkpoint) {
                throw lacking(layer, checkpoint, statement, view.table)
            }
        }
    }

    /// Points at the checkpoint where the preconditioner has nothing for it, else at the layer.
    private func lacking(
        _ layer: Layer, _ checkpoint: CheckpointDocument, _ statement: Statement, _ table: Table
    ) -> QueryError {
        let name = stored.document.name
        let parts = stored.document.parts(of: checkpoint)
        guard parts.isEmpty else {
            let pattern = statement.layers.first { Glob($0.value).matches(layer.name) }
            let known = parts.map { table.layers[Int($0.layer)].name }
            return statement.error(
                "the preconditioner '\(name)' has nothing for layer '\(layer.name)' at checkpoint "
                    + "'\(checkpoint.name)'",
                at: (pattern ?? statement.preconditioner)?.range ?? statement.origin.range,
                expected: "LAYERS of " + ColumnBinder.list(known))
        }
        var place = statement.preconditioner?.range ?? statement.origin.range
        if case .listed(let list) = statement.checkpoints,
            let item = list.first(where: { $0.name.value == checkpoint.name })
        {
            place = item.name.range
        }
        let numbers = stored.document.parts.map(\.checkpoint)
        let known = Set(numbers).sorted().map(table.checkpointName)
        return statement.error(
            "the preconditioner '\(name)' has nothing for checkpoint '\(checkpoint.name)'",
            at: place, expected: "ACROSS of " + ColumnBinder.list(known))
    }

    /// What EXPLAIN shows.
    var description: String {
        let kinds = Set(stored.document.parts.map(\.kind.rawValue)).sorted()
        return "\(stored.document.name) (\(kinds.joined(separator: ", ")))"
    }
}

extension BoundQuery {
    /// gᵀH⁻¹g of a row group's rows over the chosen layers, which cosine takes for their squared
    /// norms; nil where the vectors' own count.
    func squaredNorms(
        at checkpoint: CheckpointDocument
    ) -> (@Sendable (ScanUnit) throws -> [Double])? {
        guard measure == .cosine, let preconditioner else { return nil }
        return { [layers] unit in
            try preconditioner.stored.squaredNorms(
                of: unit, layers: layers, checkpoint: checkpoint)
        }
    }
}

/// Makes queries H⁻¹q and encodes them.
struct QueryPreconditioning: Sendable {
    let preconditioner: BoundPreconditioner
    /// The statement's.
    let checkpoints: [CheckpointDocument]
    let encoder: QueryEncoder

    /// Queries that are solved for together.
    private static let tile = 64
    /// What no codec fails to hold.
    private static let ordinary: Float = 1e25

    /// By layer, a magnitude of queries that no part can make too large: the least eigenvalue of H
    /// is not below the damping.
    var harmless: [Float] {
        encoder.layers.map { layer in
            let dampings = preconditioner.stored.document.parts
                .filter { $0.layer == layer.number }.map(\.damping)
            let least = min(1, Float(dampings.min() ?? 0))
            return Self.ordinary * least / Float(layer.dims).squareRoot()
        }
    }

    /// By query and layer.
    ///
    /// - Parameter layers: positions among the encoder's.
    /// - Throws: `.badInput` for a query that becomes too large.
    func encoded(
        _ vectors: any QueryVectors, _ range: Range<Int>, checkpoint: Int, layers: [Int],
        tier: Int, _ options: QueryOptions
    ) throws -> [[EncodedQuery]] {
        let tiles = stride(from: range.lowerBound, to: range.upperBound, by: Self.tile).map {
            $0..<min(range.upperBound, $0 + Self.tile)
        }
        let byLayer = try layers.map { layer in
            let part = try preconditioner.stored.part(
                layer: encoder.layers[layer], checkpoint: checkpoints[checkpoint])
            return try Parallel.map(tiles.count, threads: options.threads) { index in
                try options.cancellation.check()
                return try encoded(
                    vectors, tiles[index], part, checkpoint: checkpoint, layer: layer, tier: tier)
            }.flatMap(\.self)
        }
        return range.indices.map { query in byLayer.map { $0[query - range.lowerBound] } }
    }

    private func encoded(
        _ vectors: any QueryVectors, _ range: Range<Int>, _ part: PreconditionerPart,
        checkpoint: Int, layer: Int, tier: Int
    ) throws -> [EncodedQuery] {
        let given = try range.flatMap {
            try vectors.floats($0, checkpoint: checkpoint, layer: layer)
        }
        let dims = encoder.layers[layer].dims
        let inverse = try part.inverse(of: given)
        return try range.enumerated().map { index, query in
            let floats = Array(inverse.vectors[index * dims..<(index + 1) * dims])
            let name = try vectors.name(of: query)
            guard floats.allSatisfy(\.isFinite) else {
                throw GradDBError(
                    .badInput,
                    "the query \(name), layer '\(encoder.layers[layer].name)', becomes too large "
                        + "by the preconditioner '\(preconditioner.stored.document.name)'; scale "
                        + "it down, or build the preconditioner with more damping")
            }
            var encoded = try encoder.encoded(
                floats, layer: layer, tier: tier,
                what: "the query \(name), preconditioned")
            encoded.preconditionedSquaredNorm = max(0, inverse.squaredNorms[index])
            return encoded
        }
    }
}
