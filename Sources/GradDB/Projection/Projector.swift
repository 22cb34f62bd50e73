// A projector at work: what its document says, with the tensors it takes, ready to be applied. The
// result of a row is the sum of its parts' results in the order of the tensors, each of which is
// worked out by itself, from zero: so parts can be worked out anywhere and in any order.

/// Used by any number of threads at once.
package final class Projector: Sendable {
    /// With `tensors`.
    package let document: ProjectorDocument
    package let tensors: [ProjectorDocument.Tensor]
    package let kernels: KernelSet
    /// What it takes together: each tensor by itself, or both tensors of a linear layer.
    let parts: [Part]
    let method: Method

    enum Method: Sendable {
        case elements(any ElementProjection)
        case factored(FactoredProjection)
    }

    enum Part: Sendable {
        case tensor(Int)
        /// Numbers of the module and of its two tensors.
        case module(Int, output: Int, input: Int)
    }

    package var dims: Int { document.dims }

    /// - Throws: `.badInput` for a document that contradicts itself.
    package init(_ document: ProjectorDocument, kernels: KernelSet) throws {
        try document.validate()
        guard let tensors = document.tensors else {
            throw GradDBError.badInput("this projector does not say which tensors it takes")
        }
        self.document = document
        self.tensors = tensors
        self.kernels = kernels
        switch document.kind {
        case .sketch: method = .elements(SketchProjection(document, tensors, kernels))
        case .dense: method = .elements(DenseProjection(document, tensors, kernels))
        case .rapidgrad: method = .elements(try RapidGradProjection(document, tensors))
        case .factored: method = .factored(try FactoredProjection(document, tensors, kernels))
        }
        if case .factored(let projection) = method {
            let numbers = Dictionary(
                tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { a, _ in a })
            parts = projection.modules.enumerated().map { index, module in
                .module(
                    index, output: numbers[module.gradientName] ?? 0,
                    input: numbers[module.inputName] ?? 0)
            }
        } else {
            parts = tensors.indices.map { .tensor($0) }
        }
    }

    /// Bytes that one thread works with, beside what it reads.
    package var scratchBytes: Int {
        switch method {
        case .elements(let projection): 4 * (projection.dims + projection.step)
        case .factored: 4 * dims
        }
    }

    /// Bytes of f32 elements that are best added at once.
    var stepBytes: Int {
        switch method {
        case .elements(let projection): 4 * projection.step
        case .factored: 4
        }
    }

    func scratch() -> ProjectionScratch { ProjectionScratch(self) }
}

/// What one thread works with.
final class ProjectionScratch {
    /// The result of the part that was projected last.
    private(set) var sums: UnsafeMutableBufferPointer<Float>
    private let tensorSums: TensorSums?
    private let projector: Projector
    private var bytes = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    init(_ projector: Projector) {
        self.projector = projector
        switch projector.method {
        case .elements(let projection):
            let tensorSums = TensorSums(
                projection, normalises: projector.document.normalise == .tensor, projector.kernels)
            self.tensorSums = tensorSums
            sums = tensorSums.sums
        case .factored:
            tensorSums = nil
            sums = .aligned(count: projector.dims)
        }
    }

    deinit {
        if tensorSums == nil { sums.deallocate() }
        bytes.deallocate()
    }

    /// Projects a part of a row into `sums`, which are to be multiplied by what is returned.
    ///
    /// - Throws: `.badInput` naming tensor and element for what is not finite.
    func project(_ part: Projector.Part, of row: Int, in raw: RawRows) throws -> Float {
        switch (part, projector.method) {
        case (.tensor(let number), .elements(let projection)):
            guard let tensorSums else { return 0 }
            return try project(tensor: number, row, raw, tensorSums, step: projection.step)
        case (.module(let module, let output, let input), .factored(let projection)):
            let outputs = try floats(output, row, raw)
            let inputs = try floats(input, row, raw)
            let positions = outputs.count / projection.modules[module].outputDims
            guard positions == inputs.count / projection.modules[module].inputDims else {
                throw GradDBError.badInput(
                    "\(raw.place(row)): the tensors of module "
                        + "\(Excerpt.quoted(projection.modules[module].name)) have different "
                        + "numbers of positions")
            }
            return try add(module, projection, positions, outputs, inputs)
        default: preconditionFailure("a part of another projector")
        }
    }

    private func add(
        _ module: Int, _ projection: FactoredProjection, _ positions: Int, _ outputs: [Float],
        _ inputs: [Float]
    ) throws -> Float {
        guard let target = sums.baseAddress else { return 0 }
        sums.update(repeating: 0)
        return outputs.withUnsafeBufferPointer { outputs in
            inputs.withUnsafeBufferPointer { inputs in
                guard let output = outputs.baseAddress, let input = inputs.baseAddress else {
                    return 0
                }
                return projection.add(
                    module: module, positions: positions, output: output, input: input, to: target)
            }
        }
    }

    private func project(
        tensor number: Int, _ row: Int, _ raw: RawRows, _ tensorSums: TensorSums, step: Int
    ) throws -> Float {
        let name = projector.tensors[number].name
        let tensor = try raw.tensor(name)
        let count = tensor.elementsPerRow
        tensorSums.begin(tensor: number)
        do {
            var start = 0
            while start < count {
                let end = min(start + step, count)
                let piece = try read(name, tensor, row, start..<end, raw)
                try tensorSums.append(piece, tensor.element)
                start = end
            }
            return try tensorSums.end()
        } catch let failure as TensorSums.Failure {
            throw failure.refusal(
                "\(raw.place(row)), tensor \(Excerpt.quoted(name))",
                shape: projector.tensors[number].shape)
        }
    }

    private func read(
        _ name: String, _ tensor: RawRows.Tensor, _ row: Int, _ range: Range<Int>, _ raw: RawRows
    ) throws -> UnsafeRawBufferPointer {
        let size = range.count * tensor.element.byteCount
        if bytes.count < size {
            bytes.deallocate()
            bytes = .allocate(byteCount: size, alignment: 64)
        }
        let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[..<size])
        let first = row * tensor.elementsPerRow + range.lowerBound
        try raw.source.read(tensor: name, elements: first..<first + range.count, into: piece)
        return UnsafeRawBufferPointer(piece)
    }

    /// A whole tensor of a row, refused where it is not finite.
    private func floats(_ number: Int, _ row: Int, _ raw: RawRows) throws -> [Float] {
        let name = projector.tensors[number].name
        let tensor = try raw.tensor(name)
        let count = tensor.elementsPerRow
        let piece = try read(name, tensor, row, 0..<count, raw)
        let floats = [Float](unsafeUninitializedCapacity: count) { target, filled in
            tensor.element.convert(
                piece, to: .init(rebasing: target[..<count]), kernels: projector.kernels)
            filled = count
        }
        let bad = projector.kernels.table.find_nonfinite(floats, count)
        guard bad == count else {
            throw TensorSums.Failure.nonfinite(element: bad, value: floats[bad]).refusal(
                "\(raw.place(row)), tensor \(Excerpt.quoted(name))", shape: tensor.rowShape)
        }
        return floats
    }
}

extension TensorSums.Failure {
    /// - Parameters:
    ///   - place: names the input and the tensor.
    ///   - shape: of one row's tensor.
    func refusal(_ place: String, shape: [Int]) -> GradDBError {
        switch self {
        case .nonfinite(let element, let value):
            var rest = element
            var indices: [Int] = []
            for extent in shape.reversed() where extent > 0 {
                indices.insert(rest % extent, at: 0)
                rest /= extent
            }
            return .badInput(
                "\(place): element \(Excerpt.shape(indices)) is "
                    + "\(value.isNaN ? "NaN" : "\(value)"); leave the row out, or repair the "
                    + "gradient")
        case .overflow:
            return .badInput(
                "\(place): its projection is not finite, since its elements are too large; scale "
                    + "the gradients down")
        }
    }
}
