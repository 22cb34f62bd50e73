// A file of raw gradients to a file of vectors: what `gradctl project` does. Files are read row by
// row, in any order and on all threads; a pipe is read once, tensor by tensor.

import SystemPackage

/// What a projection did.
public struct ProjectionResult: Sendable {
    public var rows: Int
    /// Raw elements that were projected, and their bytes; once, however many layers took them.
    public var elements: Int
    public var bytes: Int
    public var seconds: Double
    /// Of these, seconds of projecting and not of waiting for input; nil where threads do both.
    public var projectionSeconds: Double?
    /// By layer, with the tensors they took, in the order given.
    public var projectors: [(layer: String, projector: ProjectorDocument)]
    /// Tensors of the input that no layer took.
    public var unusedTensors: [String]
}

public struct FileProjection {
    /// Results of one batch of rows, and raw bytes of it: about what is done between two writes.
    private static let batchBytes = 64 << 20
    private static let batchInputBytes = 512 << 20
    /// A piece that is read from a pipe while the one before it is projected.
    private static let pieceBytes = 8 << 20
    /// Vectors that are under way together, when a pipe brings several rows.
    private static let streamLimit = 4 << 30

    private let input: String
    private let output: String
    private let layers: [(layer: String, projector: ProjectorDocument)]
    private let isSingle: Bool
    private let threads: Int
    private let cancellation: Cancellation

    /// - Parameters:
    ///   - input: a safetensors file, a named pipe that brings one, or `-` for standard input.
    ///   - output: where the vectors go; replaced when all of them are there.
    ///   - layers: the tensors of the output, and what makes each.
    ///   - isSingle: whether the input is one row whose tensors have no axis of rows.
    public init(
        input: String, output: String,
        layers: [(layer: String, projector: ProjectorDocument)], isSingle: Bool = false,
        threads: Int, cancellation: Cancellation = Cancellation()
    ) {
        self.input = input
        self.output = output
        self.layers = layers
        self.isSingle = isSingle
        self.threads = threads
        self.cancellation = cancellation
    }

    /// - Parameter progress: called now and then with rows and bytes done, and bytes in all.
    /// - Throws: `.badInput` for anything wrong with the input, `.io`, `.interrupted`; then there
    ///   is nothing new at `output`.
    public func run(
        progress: (_ rows: Int, _ bytes: Int, _ total: Int) -> Void = { _, _, _ in }
    ) throws -> ProjectionResult {
        let started = ContinuousClock.now
        var result: ProjectionResult
        if let pipe = try Pipe(input) {
            let stream = try TensorStream(pipe.descriptor, name: pipe.name)
            result = try project(stream, progress)
        } else {
            result = try project(try TensorFile(safetensors: input), progress)
        }
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }

    /// What is projected, once it is known which tensors the input has.
    private struct Plan {
        var raw: RawRows
        var rows: Int
        var projectors: [Projector]
        /// Tensors that some layer takes.
        var used: Set<String>
        var rowBytes: Int
        var result: ProjectionResult
    }

    private func plan(_ source: any RawTensorSource) throws -> Plan {
        let raw = RawRows(source, isSingle: isSingle)
        let kernels = try KernelSet.chosen()
        var used: Set<String> = []
        var assigned: [(layer: String, projector: ProjectorDocument)] = []
        for (layer, projector) in layers {
            let document = try raw.assign(projector, layer: layer)
            used.formUnion((document.tensors ?? []).map(\.name))
            assigned.append((layer, document))
        }
        let rows = try raw.count(of: used.sorted())
        guard rows > 0 else {
            throw GradDBError.badInput("\(source.name) has no rows; nothing was projected")
        }
        let tensors = try used.map { try raw.tensor($0) }
        let rowBytes = tensors.reduce(0) { $0 + $1.rowBytes }
        return Plan(
            raw: raw, rows: rows,
            projectors: try assigned.map { try Projector($0.projector, kernels: kernels) },
            used: used, rowBytes: rowBytes,
            result: ProjectionResult(
                rows: rows, elements: rows * tensors.reduce(0) { $0 + $1.elementsPerRow },
                bytes: rows * rowBytes, seconds: 0, projectors: assigned,
                unusedTensors: source.tensors.keys.filter { !used.contains($0) }.sorted()))
    }

    private func outputFile(_ plan: Plan) throws -> VectorFile {
        try VectorFile(
            path: output, rows: plan.rows,
            plan.result.projectors.map { .init(name: $0.layer, projector: $0.projector) })
    }

    // MARK: files

    private func project(
        _ file: TensorFile, _ progress: (Int, Int, Int) -> Void
    ) throws -> ProjectionResult {
        let plan = try plan(file)
        let target = try outputFile(plan)
        let projection = RowProjection(
            plan.raw, plan.projectors, threads: threads, cancellation: cancellation)
        let vectorBytes = plan.projectors.reduce(0) { $0 + 4 * $1.dims }
        let batch = max(
            threads,
            min(Self.batchBytes / vectorBytes, Self.batchInputBytes / max(1, plan.rowBytes)))
        let results = plan.projectors.map {
            UnsafeMutableBufferPointer<Float>.aligned(count: min(batch, plan.rows) * $0.dims)
        }
        defer { for result in results { result.deallocate() } }
        var row = 0
        while row < plan.rows {
            let rows = row..<min(row + batch, plan.rows)
            try projection.project(rows, into: results)
            for (number, projector) in plan.projectors.enumerated() {
                try target.write(
                    .init(rebasing: results[number][..<(rows.count * projector.dims)]),
                    tensor: number, row: rows.lowerBound)
            }
            row = rows.upperBound
            progress(row, row * plan.rowBytes, plan.result.bytes)
        }
        try cancellation.check()
        try target.finish()
        return plan.result
    }

    // MARK: pipes

    private func project(
        _ stream: TensorStream, _ progress: (Int, Int, Int) -> Void
    ) throws -> ProjectionResult {
        let plan = try plan(stream)
        let vectorBytes = plan.projectors.reduce(0) { $0 + 4 * $1.dims }
        guard plan.rows <= Self.streamLimit / vectorBytes else {
            throw GradDBError.badInput(
                "\(stream.name): the vectors of \(plan.rows) rows do not fit memory together, as "
                    + "they must when their tensors come one after the other; send fewer rows at "
                    + "a time, or write them to a file")
        }
        let target = try outputFile(plan)
        let rows = plan.projectors.map { projector in
            var first: ProjectionStream?
            return (0..<plan.rows).map { row in
                let stream = ProjectionStream(
                    projector, name: plan.raw.place(row), sharing: first)
                first = first ?? stream
                return stream
            }
        }
        let reader = PieceReader(stream, pieceBytes: Self.pieceBytes, isAhead: threads > 1)
        var done = 0
        var busy = Duration.zero
        for name in stream.order {
            guard plan.used.contains(name), let info = stream.tensors[name] else {
                try reader.skip(stream.tensors[name]?.byteCount ?? 0)
                continue
            }
            let tensor = try plan.raw.tensor(name)
            let takers = rows.filter { rows in
                rows[0].projector.tensors.contains { $0.name == name }
            }
            precondition(info.byteCount == plan.rows * tensor.rowBytes)
            for row in 0..<plan.rows {
                for taker in takers { try taker[row].begin(name, shape: tensor.rowShape) }
                try reader.forEachPiece(tensor.rowBytes) { piece in
                    try cancellation.check()
                    let begun = ContinuousClock.now
                    for taker in takers { try taker[row].append(piece, tensor.element) }
                    busy += ContinuousClock.now - begun
                    done += piece.count
                    progress(0, done, plan.result.bytes)
                }
                let begun = ContinuousClock.now
                for taker in takers { try taker[row].end() }
                busy += ContinuousClock.now - begun
            }
        }
        for (number, streams) in rows.enumerated() {
            for (row, stream) in streams.enumerated() {
                try stream.finish().withUnsafeBufferPointer {
                    try target.write($0, tensor: number, row: row)
                }
            }
        }
        try cancellation.check()
        try target.finish()
        var result = plan.result
        result.projectionSeconds = busy.seconds
        return result
    }

    /// Standard input, or a named pipe.
    private final class Pipe {
        let descriptor: FileDescriptor
        let name: String
        private let isOwned: Bool

        /// Nil for a path that is no pipe.
        init?(_ path: String) throws(GradDBError) {
            if path == "-" {
                descriptor = .standardInput
                name = "standard input"
                isOwned = false
                return
            }
            guard try FileStatus(at: FilePath(path)).isPipe else { return nil }
            do {
                descriptor = try FileDescriptor.open(
                    FilePath(path), .readOnly, options: .closeOnExec)
            } catch {
                throw SystemFailure(error).opening(path)
            }
            name = path
            isOwned = true
        }

        deinit { if isOwned { try? descriptor.close() } }
    }
}
