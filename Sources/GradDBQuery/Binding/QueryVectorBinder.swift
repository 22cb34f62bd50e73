// Loads the query vectors of a statement and encodes them for the codecs of each tier.

import GradDB
import Logging

struct QueryVectorBinder {
    let view: TableView
    let layers: [Layer]
    let tiers: [[LayerEncoding]]
    let options: QueryOptions

    private let log = Logger(label: "graddb.query")

    struct Vectors {
        /// What the answer calls each query.
        var names: [String]
        /// What the answer calls all of them together.
        var sourceName: String
        /// By checkpoint, tier, query and layer.
        var queries: [[[[EncodedQuery]]]]
    }

    func bind(_ statement: Statement, checkpoints: [CheckpointDocument]) throws -> Vectors {
        guard let source = statement.querySource else {
            throw GradDBError(.usage, "SCORE self is not available in this version")
        }
        let vectors: Vectors
        switch source.value {
        case .file(let path):
            vectors = try load(path, name: path, checkpoints: checkpoints)
        case .parameter(let name):
            if let batch = options.vectors[name] {
                vectors = try encode(
                    try batch.named(forLayers: view.table.layers.map(\.name)), name: "$" + name,
                    checkpoints: checkpoints)
                break
            }
            guard let path = options.parameters[name] else {
                let bound = options.parameters.keys.sorted() + options.vectors.keys.sorted()
                throw statement.error(
                    "nothing is bound to $\(name)", at: source.range,
                    expected: "--param \(name)=FILE on the command line, or vectors from a program",
                    hint: NearestName.hint(for: name, among: bound))
            }
            vectors = try load(path, name: "$" + name, checkpoints: checkpoints)
        case .row(let identifier):
            vectors = try fetch(identifier, statement, source.range, checkpoints: checkpoints)
        case .rows:
            throw GradDBError(.usage, "ROWS WHERE is not available in this version")
        }
        if statement.measure.value == .cosine { try refuseZero(vectors) }
        return vectors
    }

    // MARK: files and memory

    private func load(
        _ path: String, name: String, checkpoints: [CheckpointDocument]
    ) throws -> Vectors {
        let file = try TensorFile(
            path, npyTensor: view.table.layers.count == 1 ? view.table.layers[0].name : nil)
        return try encode(file, name: name, checkpoints: checkpoints)
    }

    private func encode(
        _ file: any VectorSource, name: String, checkpoints: [CheckpointDocument]
    ) throws -> Vectors {
        let path = file.name
        try refuseRawGradients(file)
        let count = try file.rowCount(of: layers.map(\.name), allowVector: true)
        guard count > 0 else {
            throw GradDBError(.badInput, "\(path) holds no query vectors: it has 0 rows")
        }
        try checkProjectors(of: file)
        let kernels = try KernelSet.chosen()
        var queries = tiers.map { _ in [[EncodedQuery]](repeating: [], count: count) }
        for (index, layer) in layers.enumerated() {
            let codecs = try tiers.map { try view.table.codec(layer, $0[index].codec, kernels) }
            let matrix = try file.matrix(layer.name, allowVector: true)
            guard matrix.dims == layer.dims else {
                throw GradDBError(
                    .badInput,
                    "\(path): tensor '\(layer.name)' has \(matrix.dims) dims, but layer "
                        + "'\(layer.name)' of table '\(view.table.name)' has \(layer.dims)")
            }
            for row in 0..<count {
                let floats = try file.floats(layer.name, row: row, matrix, kernels: kernels)
                do throws(EncodingFailure) {
                    for (tier, codec) in codecs.enumerated() {
                        queries[tier][row].append(try codec.encodeQuery(floats))
                    }
                } catch {
                    throw GradDBError(
                        .badInput, "\(path), row \(row), layer '\(layer.name)': \(error.reason)")
                }
            }
        }
        return Vectors(
            names: count == 1 ? [name] : (0..<count).map { "\(name)[\($0)]" }, sourceName: name,
            queries: checkpoints.map { _ in queries })
    }

    /// - Throws: `.badInput` where the file's vectors were made by other projectors than the rows.
    private func checkProjectors(of file: any VectorSource) throws {
        var agreement = ProjectorAgreement(
            table: view.table.name, layers: layers, hasRows: true)
        try agreement.check(file)
        for note in agreement.notes { log.notice("\(note)") }
    }

    /// Raw gradients are not projected silently: what a query costs, and by which projector it was
    /// made, is its maker's to know.
    private func refuseRawGradients(_ file: any VectorSource) throws {
        for layer in layers where file.tensors[layer.name] == nil {
            guard let projector = layer.projector else { continue }
            let names = file.tensors.keys.sorted()
            let known = projector.tensors.map { Set($0.map(\.name)) }
            guard let raw = names.first(where: { known?.contains($0) ?? projector.selects($0) })
            else { continue }
            throw GradDBError(
                .badInput,
                "\(file.name) has no tensor '\(layer.name)', but raw gradients ('\(raw)'); make "
                    + "vectors of them first: gradctl project --table \(view.table.name) "
                    + "\(file.name) OUT")
        }
    }

    // MARK: rows of the table

    private func fetch(
        _ identifier: QuerySource.RowIdentifier, _ statement: Statement, _ range: SourceRange,
        checkpoints: [CheckpointDocument]
    ) throws -> Vectors {
        let (name, candidates): (String, [RowID]) =
            switch identifier {
            case .int(let value): ("ROW \(value)", [.int(value)])
            // In a table of integer ids, ROW '5' means 5: there is nothing else it could mean.
            case .string(let text):
                (
                    "ROW \(Spelling.string(text))",
                    [.string(text)]
                        + (Int64(text).flatMap { "\($0)" == text ? [.int($0)] : nil } ?? [])
                )
            }
        guard let row = try candidates.lazy.compactMap({ try view.row(of: $0) }).first else {
            throw statement.error(
                "table '\(view.table.name)' has no row with this id", at: range,
                expected: "an id that the snapshot has")
        }
        let kernels = try KernelSet.chosen()
        let queries = try checkpoints.map { checkpoint in
            guard let place = try view.location(of: row, in: checkpoint) else {
                throw statement.error(
                    "this row has no vector at checkpoint '\(checkpoint.name)'", at: range,
                    expected: "a row that was ingested for that checkpoint")
            }
            let byLayer = try layers.indices.map { try tierQueries($0, at: place, kernels) }
            return tiers.indices.map { tier in [byLayer.map { $0[tier] }] }
        }
        return Vectors(names: [name], sourceName: name, queries: queries)
    }

    /// A stored vector as a query of each tier: as it is stored for the finest encoding, which
    /// defines its score, and made anew from that for the coarser ones.
    private func tierQueries(
        _ index: Int, at place: (segment: SegmentDocument, group: Int, index: Int),
        _ kernels: KernelSet
    ) throws -> [EncodedQuery] {
        let layer = layers[index]
        let stored = try view.vector(layer, tiers[0][index], at: place)
        let finest = try view.table.codec(layer, tiers[0][index].codec, kernels)
        var queries = [finest.query(fromRow: stored.bytes, stored.statistics)]
        guard tiers.count > 1 else { return queries }
        let floats = [Float](unsafeUninitializedCapacity: layer.dims) { target, count in
            stored.bytes.withUnsafeBytes {
                let target = UnsafeMutableBufferPointer(rebasing: target[..<layer.dims])
                finest.decode($0, stored.statistics, into: target)
            }
            count = layer.dims
        }
        for tier in tiers.dropFirst() {
            let codec = try view.table.codec(layer, tier[index].codec, kernels)
            do throws(EncodingFailure) {
                queries.append(try codec.encodeQuery(floats))
            } catch {
                throw GradDBError(.badInput, "layer '\(layer.name)': \(error.reason)")
            }
        }
        return queries
    }

    /// The cosine with a zero vector is not defined; a score of 0 would look like an answer.
    private func refuseZero(_ vectors: Vectors) throws {
        for queries in vectors.queries {
            for (query, name) in zip(queries[0], vectors.names)
            where query.allSatisfy({ $0.squaredNorm == 0 }) {
                throw GradDBError(
                    .badInput,
                    "the query \(name) is a zero vector in the chosen layers, so its cosine with "
                        + "anything is undefined; score by dot, or choose another query")
            }
        }
    }
}

extension VectorSource {
    /// One row as floats, refused when it is not finite.
    func floats(
        _ tensor: String, row: Int, _ matrix: VectorMatrix, kernels: KernelSet
    ) throws -> [Float] {
        let bytes = UnsafeMutableRawBufferPointer.allocate(
            byteCount: matrix.rowBytes, alignment: 64)
        defer { bytes.deallocate() }
        try read(tensor: tensor, rows: row..<row + 1, into: bytes)
        let floats = [Float](unsafeUninitializedCapacity: matrix.dims) { target, count in
            let target = UnsafeMutableBufferPointer(rebasing: target[..<matrix.dims])
            matrix.element.convert(UnsafeRawBufferPointer(bytes), to: target, kernels: kernels)
            count = matrix.dims
        }
        if let bad = floats.firstIndex(where: { !$0.isFinite }) {
            throw GradDBError(
                .badInput,
                "\(name), row \(row), layer '\(tensor)': the value at dim \(bad) is "
                    + "\(floats[bad].isNaN ? "NaN" : "\(floats[bad])"); a query must be finite")
        }
        return floats
    }
}
