// The query vectors of a statement: counted, named and checked when the statement is bound, and
// encoded a part at a time when they are scored, so that there may be more of them than memory.

import GradDB

/// Vectors that can be looked up by number.
protocol QueryVectors: Sendable {
    var count: Int { get }
    /// What the answer calls a query.
    func name(of query: Int) throws -> String
    /// One vector as it is given, or as its row decodes.
    func floats(_ query: Int, checkpoint: Int, layer: Int) throws -> [Float]
    /// Checkpoints with the same number have the same vectors.
    func variant(of checkpoint: Int) -> Int
    /// One vector as scores are computed with it.
    ///
    /// - Parameters:
    ///   - checkpoint: position among the statement's checkpoints.
    ///   - layer: position among the statement's layers.
    ///   - tier: position among the statement's tiers, whose codec it is encoded for.
    func encoded(
        _ query: Int, checkpoint: Int, layer: Int, tier: Int
    ) throws -> EncodedQuery
}

/// The queries of a statement; none under `self`.
package struct QuerySet: Sendable {
    package let count: Int
    /// What the answer calls all of them together.
    package let sourceName: String
    private let vectors: (any QueryVectors)?
    private let preconditioning: QueryPreconditioning?
    /// Positions among the statement's layers.
    private var layers: [Int]

    init(
        _ vectors: any QueryVectors, sourceName: String, layers: Int,
        preconditioning: QueryPreconditioning? = nil
    ) {
        self.vectors = vectors
        self.preconditioning = preconditioning
        self.sourceName = sourceName
        self.layers = Array(0..<layers)
        count = vectors.count
    }

    /// No queries: rows are scored by themselves.
    static let none = QuerySet(sourceName: "self")

    private init(sourceName: String) {
        self.sourceName = sourceName
        vectors = nil
        preconditioning = nil
        layers = []
        count = 0
    }

    /// The same queries over one of the layers.
    func restricted(toLayer layer: Int) -> QuerySet {
        var restricted = self
        if vectors != nil { restricted.layers = [layers[layer]] }
        return restricted
    }

    package func name(of query: Int) throws -> String {
        try vectors?.name(of: query) ?? sourceName
    }

    /// Checkpoints with the same number have the same vectors.
    func variant(of checkpoint: Int) -> Int {
        preconditioning == nil ? vectors?.variant(of: checkpoint) ?? 0 : checkpoint
    }

    /// A hash of all vectors at all checkpoints, as they are given.
    func digest(checkpoints: Int, _ cancellation: Cancellation) throws -> UInt64 {
        guard let vectors else { return 0 }
        let kernels = try KernelSet.chosen()
        var digest: UInt64 = 0
        var seen: Set<Int> = []
        for checkpoint in 0..<checkpoints
        where seen.insert(vectors.variant(of: checkpoint)).inserted {
            for query in 0..<count {
                try cancellation.check()
                for layer in layers {
                    let floats = try vectors.floats(query, checkpoint: checkpoint, layer: layer)
                    digest = SplitMix64.mix(digest ^ floats.withUnsafeBytes { kernels.hash($0) })
                }
            }
        }
        return digest
    }

    /// Encodes some of the queries.
    ///
    /// - Returns: by query and layer.
    /// - Throws: `.badInput` for what has become of a file since it was looked at, `.io`,
    ///   `.corrupt`, `.interrupted`.
    func encoded(
        _ range: Range<Int>, checkpoint: Int, tier: Int, _ options: QueryOptions
    ) throws -> [[EncodedQuery]] {
        guard let vectors else { return [] }
        if let preconditioning {
            return try preconditioning.encoded(
                vectors, range, checkpoint: checkpoint, layers: layers, tier: tier, options)
        }
        return try Parallel.map(range.count, threads: options.threads) { index in
            try options.cancellation.check()
            return try layers.map { layer in
                try vectors.encoded(
                    range.lowerBound + index, checkpoint: checkpoint, layer: layer, tier: tier)
            }
        }
    }
}

/// Where floats become encoded queries: one codec for each tier and layer.
struct QueryEncoder: Sendable {
    let layers: [Layer]
    /// By tier and layer.
    let codecs: [[any Codec]]

    init(_ table: Table, layers: [Layer], tiers: [[LayerEncoding]]) throws {
        let kernels = try KernelSet.chosen()
        self.layers = layers
        codecs = try tiers.map { tier in
            try zip(layers, tier).map { try table.codec($0, $1.codec, kernels) }
        }
    }

    /// - Parameter what: what an error calls the vector.
    /// - Throws: `.badInput` where the codec cannot hold it.
    func encoded(
        _ floats: [Float], layer: Int, tier: Int, what: @autoclosure () -> String
    ) throws -> EncodedQuery {
        do throws(EncodingFailure) {
            return try codecs[tier][layer].encodeQuery(floats)
        } catch {
            throw GradDBError(
                .badInput, "\(what()), layer '\(layers[layer].name)': \(error.reason)")
        }
    }
}
