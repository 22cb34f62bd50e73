// The sketch of one tensor: where its elements go, and adding them there.

/// A tensor as `sketch` sees it: its streams of random words, and whether it is short.
struct TensorSketch: Sendable {
    /// Tensors with no more elements have each placed by itself: see the specification.
    private static let shortCount = 1024

    private let sign: UInt64
    private let place: UInt64
    private let isShort: Bool
    private let dims: Int
    private let kernels: KernelSet

    /// - Parameter count: the tensor's elements.
    init(seed: UInt64, tensor: String, count: Int, dims: Int, _ kernels: KernelSet) {
        sign = RandomWords.key(seed: seed, tensor: tensor, 0, kernels)
        place = RandomWords.key(seed: seed, tensor: tensor, 1, kernels)
        isShort = count <= Self.shortCount
        self.dims = dims
        self.kernels = kernels
    }

    /// Adds elements `first`, a multiple of 64, and on to the `dims` sums.
    func add(
        _ elements: UnsafeBufferPointer<Float>, from first: Int,
        to sums: UnsafeMutablePointer<Float>
    ) {
        guard isShort else {
            kernels.table.sketch(
                elements.baseAddress, elements.count, UInt64(first / 64), sign, place,
                UInt64(dims / 64), sums)
            return
        }
        var word: UInt64 = 0
        for (index, value) in elements.enumerated() {
            let element = UInt64(first + index)
            if index % 64 == 0 { word = RandomWords.word(sign, element / 64) }
            let target = RandomWords.below(RandomWords.word(place, element), UInt64(dims))
            sums[Int(target)] += word >> (element % 64) & 1 == 1 ? -value : value
        }
    }
}
