// The sums of one tensor of one row at a time, for the kinds that take it element by element. Its
// elements come in pieces of any size; they are added, squared and checked in steps that begin at
// multiples of the projection's step, so that pieces cannot change a bit.

/// Used by one thread at a time; reused from tensor to tensor.
final class TensorSums {
    /// The sums of the tensor so far: `dims` of them.
    let sums: UnsafeMutableBufferPointer<Float>
    private let projection: any ElementProjection
    private let normalises: Bool
    private let kernels: KernelSet
    /// Elements of a step that is not complete, as floats.
    private let buffer: UnsafeMutableBufferPointer<Float>
    private var buffered = 0
    private var tensor = 0
    /// Elements that have been added.
    private var done = 0
    private var squares = 0.0
    /// Steps that may be added before the sums are looked at.
    private static let stepsAtOnce = 16

    init(_ projection: any ElementProjection, normalises: Bool, _ kernels: KernelSet) {
        self.projection = projection
        self.normalises = normalises
        self.kernels = kernels
        sums = .aligned(count: projection.dims)
        buffer = .aligned(count: projection.step)
    }

    deinit {
        sums.deallocate()
        buffer.deallocate()
    }

    /// An element that cannot be projected, counted from the tensor's first.
    enum Failure: Error {
        case nonfinite(element: Int, value: Float)
        /// Finite elements whose sums are not.
        case overflow
    }

    func begin(tensor: Int) {
        self.tensor = tensor
        sums.update(repeating: 0)
        buffered = 0
        done = 0
        squares = 0
    }

    /// The next elements.
    func append(_ bytes: UnsafeRawBufferPointer, _ element: VectorElement) throws(Failure) {
        let count = bytes.count / element.byteCount
        let step = projection.step
        var taken = 0
        while taken < count {
            if element == .f32, buffered == 0, count - taken >= step,
                let start = bytes.baseAddress?.advanced(by: 4 * taken),
                UInt(bitPattern: start) % 4 == 0
            {
                // Whole steps are read where they lie.
                let steps = min((count - taken) / step, Self.stepsAtOnce)
                let floats = UnsafeBufferPointer(
                    start: start.assumingMemoryBound(to: Float.self), count: steps * step)
                try add(floats)
                taken += floats.count
                continue
            }
            let piece = min(count - taken, step - buffered)
            let source = UnsafeRawBufferPointer(
                rebasing: bytes[taken * element.byteCount..<(taken + piece) * element.byteCount])
            element.convert(
                source, to: .init(rebasing: buffer[buffered..<buffered + piece]), kernels: kernels)
            buffered += piece
            taken += piece
            if buffered == step { try flush() }
        }
    }

    /// The end of the tensor: returns what the sums are to be multiplied by.
    func end() throws(Failure) -> Float {
        if buffered > 0 { try flush() }
        let factor = projection.factor
        if factor != 1 { for k in sums.indices { sums[k] *= factor } }
        guard normalises else { return 1 }
        return squares > 0 ? Float(1 / squares.squareRoot()) : 0
    }

    private func flush() throws(Failure) {
        let count = buffered
        buffered = 0
        try add(UnsafeBufferPointer(rebasing: buffer[..<count]))
    }

    private func add(_ elements: UnsafeBufferPointer<Float>) throws(Failure) {
        guard let target = sums.baseAddress else { return }
        if normalises {
            // A sum of squares tells at once whether all elements are finite: in double, those of
            // finite ones do not overflow.
            var start = 0
            while start < elements.count {
                let end = min(start + projection.step, elements.count)
                let part = UnsafeBufferPointer(rebasing: elements[start..<end])
                let square = kernels.table.squared_length(part.baseAddress, part.count)
                guard square.isFinite else { throw failure(in: part) }
                squares += square
                projection.add(part, from: done, ofTensor: tensor, to: target)
                done += part.count
                start = end
            }
        } else {
            // What is not finite stays in the sums, for good.
            projection.add(elements, from: done, ofTensor: tensor, to: target)
            guard kernels.table.find_nonfinite(target, sums.count) == sums.count else {
                throw failure(in: elements)
            }
            done += elements.count
        }
    }

    private func failure(in elements: UnsafeBufferPointer<Float>) -> Failure {
        let index = kernels.table.find_nonfinite(elements.baseAddress, elements.count)
        guard index < elements.count else { return .overflow }
        return .nonfinite(element: done + index, value: elements[index])
    }
}

extension UnsafeMutableBufferPointer<Float> {
    /// Memory that begins a cache line, set to zero.
    package static func aligned(count: Int) -> Self {
        let bytes = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Swift.max(1, count) * MemoryLayout<Float>.stride, alignment: 64)
        let floats = bytes.bindMemory(to: Float.self)
        floats.initialize(repeating: 0)
        return Self(rebasing: floats[..<count])
    }
}
