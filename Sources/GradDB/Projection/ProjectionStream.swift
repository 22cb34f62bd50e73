// One gradient that comes tensor by tensor, in pieces of any size: for models whose gradient is
// larger than memory. Beside the sums and a step of input nothing is held but the results of
// tensors that came before their turn, and for `factored` the tensor whose partner is missing.

package final class ProjectionStream {
    /// Results that came before their turn take no more than this; more is refused.
    private static let waitingLimit = 1 << 30

    package let projector: Projector
    private let name: String
    private let result: UnsafeMutableBufferPointer<Float>
    private let tensorSums: TensorSums?
    private let numbers: [String: Int]
    /// The tensor that is coming, how many of its elements have come, and all of them for
    /// `factored`.
    private var current: (number: Int, count: Int, elements: Int)?
    private var values: [Float] = []
    private var held: [Int: [Float]] = [:]
    private var hasCome: Set<Int> = []
    /// Results of parts that wait for those before them.
    private var waiting: [Int: ([Float], Float)] = [:]
    private var nextPart = 0
    /// Part of each tensor.
    private let partOfTensor: [Int]

    /// - Parameters:
    ///   - name: what errors call the gradient.
    ///   - other: one whose scratch space this one uses; of the two, one has a tensor under way.
    package init(_ projector: Projector, name: String, sharing other: ProjectionStream? = nil) {
        self.projector = projector
        self.name = name
        result = .aligned(count: projector.dims)
        numbers = Dictionary(
            projector.tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { a, _ in a })
        var parts = [Int](repeating: 0, count: projector.tensors.count)
        for (index, part) in projector.parts.enumerated() {
            switch part {
            case .tensor(let number): parts[number] = index
            case .module(_, let output, let input):
                parts[output] = index
                parts[input] = index
            }
        }
        partOfTensor = parts
        if let other {
            precondition(other.projector === projector, "of another projector")
            tensorSums = other.tensorSums
        } else if case .elements(let projection) = projector.method {
            tensorSums = TensorSums(
                projection, normalises: projector.document.normalise == .tensor, projector.kernels)
        } else {
            tensorSums = nil
        }
    }

    deinit { result.deallocate() }

    /// Begins a tensor, which comes once; those of `factored` say with how many positions.
    ///
    /// - Throws: `.badInput` for one that the projector does not take, or that came before.
    package func begin(_ tensor: String, shape: [Int]) throws {
        precondition(current == nil, "the tensor before has not ended")
        guard let number = numbers[tensor] else {
            throw GradDBError.badInput(
                "\(name): the projector takes no tensor \(Excerpt.quoted(tensor))")
        }
        guard hasCome.insert(number).inserted else {
            throw GradDBError.badInput("\(name): tensor \(Excerpt.quoted(tensor)) comes twice")
        }
        let known = projector.tensors[number].shape
        let isFactored = tensorSums == nil
        let fits =
            isFactored ? shape.count == 2 && shape.last == known.last : shape == known
        guard fits, let elements = ProjectorDocument.elementCount(shape) else {
            throw GradDBError.badInput(
                "\(name): tensor \(Excerpt.quoted(tensor)) has shape \(Excerpt.shape(shape)), but "
                    + "the projector takes \(Excerpt.shape(known))")
        }
        current = (number, 0, elements)
        tensorSums?.begin(tensor: number)
        if isFactored { values = [] }
    }

    /// The next elements of the tensor, row-major.
    ///
    /// - Throws: `.badInput` naming the element that is not finite.
    package func append(_ bytes: UnsafeRawBufferPointer, _ element: VectorElement) throws {
        guard var tensor = current else { preconditionFailure("no tensor has begun") }
        let count = bytes.count / element.byteCount
        guard tensor.count + count <= tensor.elements else {
            throw GradDBError.badInput(
                "\(place(tensor.number)): more elements come than its shape has")
        }
        do {
            if let tensorSums {
                try tensorSums.append(bytes, element)
            } else {
                let floats = [Float](unsafeUninitializedCapacity: count) { target, filled in
                    element.convert(
                        bytes, to: .init(rebasing: target[..<count]), kernels: projector.kernels)
                    filled = count
                }
                let bad = projector.kernels.table.find_nonfinite(floats, count)
                guard bad == count else {
                    throw TensorSums.Failure.nonfinite(
                        element: tensor.count + bad, value: floats[bad])
                }
                values += floats
            }
        } catch let failure as TensorSums.Failure {
            throw refusal(failure, tensor.number)
        }
        tensor.count += count
        current = tensor
    }

    /// Ends the tensor.
    package func end() throws {
        guard let tensor = current else { preconditionFailure("no tensor has begun") }
        guard tensor.count == tensor.elements else {
            throw GradDBError.badInput(
                "\(place(tensor.number)): it ends after \(tensor.count) of \(tensor.elements) "
                    + "elements")
        }
        current = nil
        let part = partOfTensor[tensor.number]
        if let tensorSums {
            do {
                let scale = try tensorSums.end()
                try add(part, UnsafeBufferPointer(tensorSums.sums), scale)
            } catch let failure as TensorSums.Failure {
                throw refusal(failure, tensor.number)
            }
        } else {
            try endOfFactored(tensor.number, part)
        }
    }

    /// The vector, once all tensors have come.
    package func finish() throws -> [Float] {
        if let missing = projector.tensors.indices.first(where: { !hasCome.contains($0) }) {
            throw GradDBError.badInput(
                "\(name): tensor \(Excerpt.quoted(projector.tensors[missing].name)) is missing")
        }
        precondition(nextPart == projector.parts.count && current == nil, "tensors are under way")
        guard result.allSatisfy(\.isFinite) else {
            throw TensorSums.Failure.overflow.refusal(name, shape: [])
        }
        return Array(result)
    }

    private func endOfFactored(_ number: Int, _ part: Int) throws {
        guard case .module(let module, let output, let input) = projector.parts[part],
            case .factored(let projection) = projector.method
        else { return }
        held[number] = values
        values = []
        guard let outputs = held[output], let inputs = held[input] else { return }
        held[output] = nil
        held[input] = nil
        let positions = outputs.count / projection.modules[module].outputDims
        guard positions == inputs.count / projection.modules[module].inputDims else {
            throw GradDBError.badInput(
                "\(name): the tensors of module "
                    + "\(Excerpt.quoted(projection.modules[module].name)) have different numbers "
                    + "of positions")
        }
        var sums = [Float](repeating: 0, count: projector.dims)
        let scale = outputs.withUnsafeBufferPointer { outputs in
            inputs.withUnsafeBufferPointer { inputs in
                sums.withUnsafeMutableBufferPointer { sums in
                    guard let output = outputs.baseAddress, let input = inputs.baseAddress,
                        let target = sums.baseAddress
                    else { return Float(0) }
                    return projection.add(
                        module: module, positions: positions, output: output, input: input,
                        to: target)
                }
            }
        }
        try sums.withUnsafeBufferPointer { try add(part, $0, scale) }
    }

    /// Adds the result of a part when its turn has come.
    private func add(_ part: Int, _ sums: UnsafeBufferPointer<Float>, _ scale: Float) throws {
        let kernels = projector.kernels.table
        guard part == nextPart else {
            guard (waiting.count + 1) * 4 * projector.dims <= Self.waitingLimit else {
                throw GradDBError.badInput(
                    "\(name): its tensors come in an order that needs more than "
                        + "\(Self.waitingLimit >> 20) MiB to be kept; send them in ascending "
                        + "order of their names")
            }
            waiting[part] = (Array(sums), scale)
            return
        }
        kernels.add_scaled(sums.baseAddress, projector.dims, scale, result.baseAddress)
        nextPart += 1
        while let (sums, scale) = waiting.removeValue(forKey: nextPart) {
            kernels.add_scaled(sums, projector.dims, scale, result.baseAddress)
            nextPart += 1
        }
    }

    private func place(_ number: Int) -> String {
        "\(name), tensor \(Excerpt.quoted(projector.tensors[number].name))"
    }

    private func refusal(_ failure: TensorSums.Failure, _ number: Int) -> GradDBError {
        failure.refusal(place(number), shape: projector.tensors[number].shape)
    }
}
