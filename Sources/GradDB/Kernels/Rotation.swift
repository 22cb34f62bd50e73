// The seeded rotation that integer codecs apply before quantising (format-spec/codecs.md).
//
// Random signs and a fast Walsh-Hadamard transform spread every gradient, however spiky, into
// coordinates that look Gaussian, so that one scale per row serves all of them. It is orthogonal:
// dot products and norms stay what they were. For a number of dims that is no power of two, one
// transform covers the first p (the largest power of two that fits) and a second one the last p.
//
// Then blocks of elements are put in another order, so that the first slabs of a row are a sample
// of all of it: estimates from them (CONFIDENCE) rest on that. In the order of the transforms the
// first elements would know nothing of the last ones where there are two transforms, and where there
// is one, the first half would be sums over pairs that lie half the row apart, which may be alike
// (rows of one matrix). Projected gradients are random enough not to show it; others are not.

import CGradKernels

package struct Rotation: Sendable {
    package let dims: Int
    package let seed: UInt64
    private let span: Int
    private let normalization: Float
    private let firstSigns: [UInt64]
    private let secondSigns: [UInt64]
    /// Block j of the result comes from block (j * step) mod `blocks`.
    private let blocks: Int
    private let step: Int

    /// - Parameter dims: at least 1.
    package init(dims: Int, seed: UInt64) {
        self.dims = dims
        self.seed = seed
        span = Self.span(dims)
        normalization = Float(1) / Float(span).squareRoot()
        firstSigns = Self.signs(seed: seed, round: 0, count: span)
        secondSigns = span < dims ? Self.signs(seed: seed, round: 1, count: span) : []
        blocks = dims / Self.blockElements
        step = Self.step(blocks: blocks)
    }

    /// The largest power of two that is at most `dims`.
    static func span(_ dims: Int) -> Int { 1 << (Int.bitWidth - 1 - dims.leadingZeroBitCount) }

    /// A block is a vector of floats, and a cache line.
    private static let blockElements = 16

    /// Near the golden section, whose multiples spread most evenly.
    private static func step(blocks: Int) -> Int {
        func divisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : divisor(b, a % b) }
        var step = max(1, blocks * 40503 / 65536)
        while blocks > 0, divisor(step, blocks) != 1 { step += 1 }
        return step
    }

    /// Rotates `dims` floats in place.
    package func apply(_ x: UnsafeMutablePointer<Float>, kernels: KernelSet) {
        kernels.table.rotate(x, span, firstSigns, normalization)
        if span < dims {
            kernels.table.rotate(x + (dims - span), span, secondSigns, normalization)
        }
        reorder(x, isUndone: false)
    }

    /// Puts the blocks in their order, or back.
    private func reorder(_ x: UnsafeMutablePointer<Float>, isUndone: Bool) {
        guard blocks > 1 else { return }
        let row = UnsafeMutableRawPointer(x)
        let bytes = Self.blockElements * MemoryLayout<Float>.size
        withUnsafeTemporaryAllocation(byteCount: blocks * bytes, alignment: 64) { copy in
            guard let copy = copy.baseAddress else { return }
            copy.copyMemory(from: row, byteCount: blocks * bytes)
            var source = 0
            for block in 0..<blocks {
                let (from, to) = isUndone ? (block, source) : (source, block)
                (row + to * bytes).copyMemory(from: copy + from * bytes, byteCount: bytes)
                source += step
                if source >= blocks { source -= blocks }
            }
        }
    }

    /// The inverse: each round is its own inverse up to the order of signs and transform.
    package func applyInverse(_ x: UnsafeMutablePointer<Float>, kernels: KernelSet) {
        reorder(x, isUndone: true)
        if span < dims { undo(x + (dims - span), signs: secondSigns, kernels) }
        undo(x, signs: firstSigns, kernels)
    }

    private func undo(_ x: UnsafeMutablePointer<Float>, signs: [UInt64], _ kernels: KernelSet) {
        let none = [UInt64](repeating: 0, count: signs.count)
        kernels.table.rotate(x, span, none, normalization)
        for i in 0..<span where signs[i / 64] >> UInt64(i % 64) & 1 == 1 { x[i] = -x[i] }
    }

    /// Bit i%64 of word i/64 is the sign of element i (1: negative). Word w of round r is the
    /// splitmix64 output for the counter r * 2^32 + w + 1: any word can be had by itself.
    static func signs(seed: UInt64, round: UInt64, count: Int) -> [UInt64] {
        (0..<(count + 63) / 64).map { word in
            let counter = (round << 32) &+ UInt64(word) &+ 1
            return SplitMix64.mix(seed &+ counter &* SplitMix64.increment)
        }
    }
}
