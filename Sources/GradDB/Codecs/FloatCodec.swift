// f32: the bytes as they came. Scores are doubles, summed in sixteen lanes per slab, slab after
// slab: the same on every processor, because a product of two floats is exact in double.

import CGradKernels

package struct FloatCodec: Codec {
    package let dims: Int
    package let bitsPerElement = 32
    private let kernels: KernelSet

    package init(dims: Int, kernels: KernelSet) {
        self.dims = dims
        self.kernels = kernels
    }

    package func encode(
        _ row: UnsafeMutableBufferPointer<Float>, into target: UnsafeMutableRawBufferPointer
    ) throws(EncodingFailure) -> RowStatistics {
        target.copyMemory(from: UnsafeRawBufferPointer(row))
        return RowStatistics(
            scale: 1, squaredNorm: kernels.table.sum_of_squares(row.baseAddress, dims))
    }

    package func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        UnsafeMutableRawBufferPointer(target).copyMemory(from: bytes)
    }

    package func encodeQuery(_ query: [Float]) throws(EncodingFailure) -> EncodedQuery {
        floatQuery(query, kernels)
    }

    package func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery {
        EncodedQuery(
            elements: bytes.withUnsafeBytes(AlignedBytes.init), integers: nil, slabSums: [],
            scale: 1, squaredNorm: statistics.squaredNorm)
    }

    package func accumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        let dims = dims(ofSlab: slab)
        kernels.table.dot_f32(
            chunk.baseAddress?.assumingMemoryBound(to: Float.self), rowCount, dims * 4, dims,
            query.elements.pointer(at: firstDim(ofSlab: slab) * 4, as: Float.self), sums.doubles)
    }

    package func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        kernels.table.hash_and_dot_f32(
            chunk.baseAddress?.assumingMemoryBound(to: Float.self), rowCount, dims(ofSlab: slab),
            query.elements.pointer(at: firstDim(ofSlab: slab) * 4, as: Float.self), sums.doubles)
    }

    package var isFloat: Bool { true }

    package func widen(
        _ chunk: UnsafeRawBufferPointer, count: Int, into target: UnsafeMutablePointer<Float>
    ) {
        guard let bytes = chunk.baseAddress else { return }
        UnsafeMutableRawPointer(target).copyMemory(from: bytes, byteCount: count * 4)
    }

    package func term(of query: EncodedQuery, slabs: Int) -> ScoreTerm { .doubles }
}

/// A query as f32, for the codecs that score floats.
func floatQuery(_ query: [Float], _ kernels: KernelSet) -> EncodedQuery {
    EncodedQuery(
        elements: query.withUnsafeBytes(AlignedBytes.init), integers: nil, slabSums: [], scale: 1,
        squaredNorm: kernels.table.sum_of_squares(query, query.count))
}
