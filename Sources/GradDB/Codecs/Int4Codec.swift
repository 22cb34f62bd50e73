// int4: rotate, then sixteen equal steps around zero: codes 0...15 for the levels 2c - 15.

import CGradKernels

package struct Int4Codec: LevelCodec {
    package let bitsPerElement = 4
    package let offset: Int64 = 15
    package let queryLevels: Float = 127
    package let rotated: RotatedRow
    private var kernels: KernelSet { rotated.kernels }

    /// The step, in standard deviations, that loses least of a Gaussian in sixteen equal steps
    /// (Max, Quantizing for minimum distortion, 1960).
    private static let step = 0.3352

    package init(dims: Int, seed: UInt64, kernels: KernelSet) {
        rotated = RotatedRow(.int4, dims: dims, seed: seed, kernels: kernels)
    }

    package func quantize(
        _ x: UnsafePointer<Float>, squaredNorm: Double, into codes: UnsafeMutablePointer<UInt8>
    ) -> (dot: Double, squares: Double) {
        let step = Float(Self.step * (squaredNorm / Double(dims)).squareRoot())
        let levels = kernels.table.quantize_int4(
            x, dims, 1 / max(step, Float.leastNormalMagnitude), codes)
        return (levels.dot, Double(levels.squares))
    }

    package func code(_ bytes: UnsafeRawBufferPointer, _ i: Int) -> UInt8 {
        i % 2 == 0 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4
    }

    /// Elements 2j in the first half, elements 2j + 1 in the second.
    package func arrange(_ elements: [Int8]) -> AlignedBytes {
        AlignedBytes(count: 2 * rowBytes) { target in
            for (i, element) in elements.enumerated() {
                target[i / 2 + i % 2 * rowBytes] = UInt8(bitPattern: element)
            }
        }
    }

    package func accumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        let first = slab * SlabGeometry.slabBytes
        kernels.table.dot_int4(
            chunk.baseAddress?.assumingMemoryBound(to: UInt8.self), rowCount,
            geometry.bytes(ofSlab: slab), dims(ofSlab: slab),
            query.elements.pointer(at: first, as: Int8.self),
            query.elements.pointer(at: rowBytes + first, as: Int8.self), sums.integers)
    }

    package func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        let first = slab * SlabGeometry.slabBytes
        return kernels.table.hash_and_dot_int4(
            chunk.baseAddress?.assumingMemoryBound(to: UInt8.self), rowCount, dims(ofSlab: slab),
            query.elements.pointer(at: first, as: Int8.self),
            query.elements.pointer(at: rowBytes + first, as: Int8.self), sums.integers)
    }

    package var batchKernels: BatchKernels? {
        guard let batch = kernels.table.batch?.pointee, let packedBytes = batch.packed_bytes_int4,
            let pack = batch.pack_int4, let dot = batch.dot_int4
        else { return nil }
        return BatchKernels(packedBytes: packedBytes, pack: pack) {
            rows, rowCount, stride, dims, packed, queries, sums in
            dot(
                rows?.assumingMemoryBound(to: UInt8.self), rowCount, stride, dims, packed,
                queries, sums, queries)
        }
    }
}
