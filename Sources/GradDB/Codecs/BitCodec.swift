// bit: rotate, then only the signs: bits for the levels 2b - 1. Queries have six bits, one plane
// each: AND with a row, and count.

import CGradKernels

package struct BitCodec: LevelCodec {
    package let bitsPerElement = 1
    package let offset: Int64 = 1
    /// Six bits in two's complement, balanced.
    package let queryLevels: Float = 31
    package let rotated: RotatedRow
    private var kernels: KernelSet { rotated.kernels }

    private static let planes = Int(GK_BIT_PLANES)

    package init(dims: Int, seed: UInt64, kernels: KernelSet) {
        rotated = RotatedRow(.bit, dims: dims, seed: seed, kernels: kernels)
    }

    package func quantize(
        _ x: UnsafePointer<Float>, squaredNorm: Double, into codes: UnsafeMutablePointer<UInt8>
    ) -> (dot: Double, squares: Double) {
        (kernels.table.quantize_bit(x, dims, codes), Double(dims))
    }

    package func code(_ bytes: UnsafeRawBufferPointer, _ i: Int) -> UInt8 {
        bytes[i / 8] >> UInt8(i % 8) & 1
    }

    /// Slab after slab, and within one plane after plane.
    package func arrange(_ elements: [Int8]) -> AlignedBytes {
        AlignedBytes(count: Self.planes * rowBytes) { target in
            for slab in 0..<geometry.slabCount {
                let first = firstDim(ofSlab: slab)
                let planeBytes = geometry.bytes(ofSlab: slab)
                let start = planesOffset(slab)
                let dims = dims(ofSlab: slab)
                for byte in 0..<planeBytes {
                    // Eight elements, the first in the lowest byte of a word.
                    let eight = first + 8 * byte..<first + min(dims, 8 * byte + 8)
                    let word = elements[eight].reversed().reduce(UInt64(0)) {
                        $0 << 8 | UInt64(UInt8(bitPattern: $1))
                    }
                    for plane in 0..<Self.planes {
                        target[start + plane * planeBytes + byte] = Self.gather(word, bit: plane)
                    }
                }
            }
        }
    }

    /// Bit `bit` of each of eight bytes, side by side: the multiplication moves them all into the
    /// highest byte.
    private static func gather(_ word: UInt64, bit: Int) -> UInt8 {
        let bits = word >> UInt64(bit) & 0x0101_0101_0101_0101
        return UInt8(truncatingIfNeeded: (bits &* 0x0102_0408_1020_4080) >> 56)
    }

    private func planesOffset(_ slab: Int) -> Int { slab * Self.planes * SlabGeometry.slabBytes }

    package func accumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        kernels.table.dot_bit(
            chunk.baseAddress?.assumingMemoryBound(to: UInt8.self), rowCount,
            geometry.bytes(ofSlab: slab), dims(ofSlab: slab),
            query.elements.pointer(at: planesOffset(slab), as: UInt8.self), sums.integers)
    }

    package func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        kernels.table.hash_and_dot_bit(
            chunk.baseAddress?.assumingMemoryBound(to: UInt8.self), rowCount, dims(ofSlab: slab),
            query.elements.pointer(at: planesOffset(slab), as: UInt8.self), sums.integers)
    }

    package var batchKernels: BatchKernels? {
        guard let batch = kernels.table.batch?.pointee, let packedBytes = batch.packed_bytes_bit,
            let pack = batch.pack_bit, let dot = batch.dot_bit
        else { return nil }
        return BatchKernels(packedBytes: packedBytes, pack: pack) {
            rows, rowCount, stride, dims, packed, queries, sums in
            dot(
                rows?.assumingMemoryBound(to: UInt8.self), rowCount, stride, dims, packed,
                queries, sums, queries)
        }
    }
}
