// Queries from files or from a caller's memory: row i of each layer's tensor is query i.

import GradDB

struct FileQueries: QueryVectors {
    /// One that all checkpoints share, or one for each.
    private let sources: [any VectorSource]
    private let names: (all: String, isSingle: Bool)
    private let encoder: QueryEncoder
    private let kernels: KernelSet
    let count: Int
    /// Under a preconditioner, queries whose size says nothing of what becomes of them.
    private(set) var unusual: [Int] = []

    /// Looks at all vectors of all files.
    ///
    /// - Parameters:
    ///   - sources: whose tensors fit the layers.
    ///   - name: what the statement calls them.
    ///   - harmless: under a preconditioner, by layer, a magnitude that it cannot make too large.
    /// - Throws: `.badInput` for vectors that cannot be queries.
    init(
        _ sources: [any VectorSource], count: Int, name: String, encoder: QueryEncoder,
        isCosine: Bool, harmless: [Float]? = nil, options: QueryOptions
    ) throws {
        self.sources = sources
        self.encoder = encoder
        self.count = count
        kernels = try KernelSet.chosen()
        names = (name, count == 1)
        for source in sources.indices {
            let isUsual = try Parallel.map(count, threads: options.threads) { [self] query in
                try options.cancellation.check()
                return try look(at: query, in: source, isCosine: isCosine, harmless: harmless)
            }
            unusual += isUsual.indices.filter { !isUsual[$0] }
        }
    }

    func name(of query: Int) -> String { names.isSingle ? names.all : "\(names.all)[\(query)]" }

    func variant(of checkpoint: Int) -> Int { min(checkpoint, sources.count - 1) }

    func encoded(
        _ query: Int, checkpoint: Int, layer: Int, tier: Int
    ) throws -> EncodedQuery {
        try encoded(query, in: variant(of: checkpoint), layer: layer, tier: tier)
    }

    func floats(_ query: Int, checkpoint: Int, layer: Int) throws -> [Float] {
        try floats(query, in: variant(of: checkpoint), layer: layer).values
    }

    private func encoded(
        _ query: Int, in source: Int, layer: Int, tier: Int
    ) throws -> EncodedQuery {
        let floats = try floats(query, in: source, layer: layer).values
        return try encoder.encoded(
            floats, layer: layer, tier: tier, what: "\(sources[source].name), row \(query)")
    }

    /// Magnitudes between which no codec can lose a vector: neither to zero nor to infinity.
    private static let ordinary: ClosedRange<Float> = 1e-25...1e25

    /// - Returns: false where a preconditioner may make the vector too large.
    /// - Throws: `.badInput` for a vector that is not finite, that a codec cannot hold, or whose
    ///   cosine is not defined.
    private func look(
        at query: Int, in source: Int, isCosine: Bool, harmless: [Float]?
    ) throws -> Bool {
        var isZero = true
        var isUsual = true
        for layer in encoder.layers.indices {
            let largest = try floats(query, in: source, layer: layer).largest
            guard largest > 0 else { continue }
            if let harmless {
                isZero = false
                isUsual = isUsual && largest < harmless[layer]
                continue
            }
            guard !Self.ordinary.contains(largest) else {
                isZero = false
                continue
            }
            for tier in encoder.codecs.indices {
                let encoded = try encoded(query, in: source, layer: layer, tier: tier)
                if tier == 0, encoded.squaredNorm > 0 { isZero = false }
            }
        }
        if isCosine, isZero { throw Self.zeroQuery(name(of: query)) }
        return isUsual
    }

    /// The cosine with a zero vector is not defined; a score of 0 would look like an answer.
    static func zeroQuery(_ name: String) -> GradDBError {
        GradDBError(
            .badInput,
            "the query \(name) is a zero vector in the chosen layers, so its cosine with "
                + "anything is undefined; score by dot, or choose another query")
    }

    /// One vector and its largest magnitude.
    ///
    /// - Throws: `.badInput` when it is not finite.
    private func floats(
        _ query: Int, in source: Int, layer: Int
    ) throws -> (values: [Float], largest: Float) {
        let file = sources[source]
        let tensor = encoder.layers[layer].name
        let matrix = try file.matrix(tensor, allowVector: true)
        let bytes = UnsafeMutableRawBufferPointer.allocate(
            byteCount: matrix.rowBytes, alignment: 64)
        defer { bytes.deallocate() }
        try file.read(tensor: tensor, rows: query..<query + 1, into: bytes)
        var largest: UInt32 = 0
        let floats = [Float](unsafeUninitializedCapacity: matrix.dims) { target, count in
            let target = UnsafeMutableBufferPointer(rebasing: target[..<matrix.dims])
            matrix.element.convert(UnsafeRawBufferPointer(bytes), to: target, kernels: kernels)
            // Without their sign, floats are in the order of their bits, infinity and NaN last.
            for value in target { largest = max(largest, value.bitPattern & 0x7FFF_FFFF) }
            count = matrix.dims
        }
        if let bad = Float(bitPattern: largest).isFinite
            ? nil : floats.firstIndex(where: { !$0.isFinite })
        {
            throw GradDBError(
                .badInput,
                "\(file.name), row \(query), layer '\(tensor)': the value at dim \(bad) is "
                    + "\(floats[bad].isNaN ? "NaN" : "\(floats[bad])"); a query must be finite")
        }
        return (floats, Float(bitPattern: largest))
    }
}
