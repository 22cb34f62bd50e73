// The kinds of projectors that take a tensor element by element, in any pieces: sketch, dense and
// rapidgrad. One piece is the business of a kernel; this knows keys and places.

/// Adds elements of tensors to sums, in a fixed order: ascending elements, whatever the pieces.
protocol ElementProjection: Sendable {
    var dims: Int { get }
    /// Elements that are best added at once. Pieces begin at a multiple of it, or of 64.
    var step: Int { get }
    /// Adds elements `first` and on of tensor number `tensor` to the `dims` sums.
    func add(
        _ elements: UnsafeBufferPointer<Float>, from first: Int, ofTensor tensor: Int,
        to sums: UnsafeMutablePointer<Float>)
    /// What all sums of a tensor are multiplied by at its end.
    var factor: Float { get }
}

extension ElementProjection {
    /// 64 Ki elements: with the sums, they fit an L2 cache.
    static var usualStep: Int { 1 << 16 }
}

struct SketchProjection: ElementProjection {
    /// More input than this is not worth being held for the sake of several sheets at once.
    private static let stepLimit = 1 << 22
    /// Sheets that the kernels add in one pass.
    private static let sheetsAtOnce = 4

    let dims: Int
    let step: Int
    let factor: Float = 1
    private let tensors: [TensorSketch]

    init(_ document: ProjectorDocument, _ tensors: [ProjectorDocument.Tensor], _ kernels: KernelSet)
    {
        dims = document.dims
        self.tensors = tensors.map { tensor in
            TensorSketch(
                seed: document.seed, tensor: tensor.name,
                count: ProjectorDocument.elementCount(tensor.shape) ?? 0, dims: document.dims,
                kernels)
        }
        let group = Self.sheetsAtOnce * dims
        let groups = max(1, (Self.usualStep + group - 1) / group)
        step = group <= Self.stepLimit ? groups * group : Self.stepLimit
    }

    func add(
        _ elements: UnsafeBufferPointer<Float>, from first: Int, ofTensor tensor: Int,
        to sums: UnsafeMutablePointer<Float>
    ) {
        tensors[tensor].add(elements, from: first, to: sums)
    }
}

struct DenseProjection: ElementProjection {
    let dims: Int
    let factor: Float
    var step: Int { Self.usualStep }
    private let keys: [UInt64]
    private let kernels: KernelSet

    init(_ document: ProjectorDocument, _ tensors: [ProjectorDocument.Tensor], _ kernels: KernelSet)
    {
        dims = document.dims
        factor = Float(1 / Double(dims).squareRoot())
        self.kernels = kernels
        keys = tensors.map {
            RandomWords.key(seed: document.seed, tensor: $0.name, 0, kernels)
        }
    }

    func add(
        _ elements: UnsafeBufferPointer<Float>, from first: Int, ofTensor tensor: Int,
        to sums: UnsafeMutablePointer<Float>
    ) {
        kernels.table.add_signed(
            elements.baseAddress, elements.count, UInt64(first), keys[tensor], dims, sums)
    }
}
