// f16: IEEE half precision, rounded to nearest. The query stays f32; scores as in f32.

import CGradKernels

package struct HalfCodec: Codec {
    package let dims: Int
    package let elementBytes = 2
    private let kernels: KernelSet

    package init(dims: Int, kernels: KernelSet) {
        self.dims = dims
        self.kernels = kernels
    }

    package func encode(
        _ row: UnsafeMutableBufferPointer<Float>, into target: UnsafeMutableRawBufferPointer
    ) throws(EncodingFailure) -> RowStatistics {
        guard let x = row.baseAddress, let bytes = target.baseAddress else {
            return RowStatistics(scale: 1, squaredNorm: 0)
        }
        let halves = bytes.assumingMemoryBound(to: UInt16.self)
        kernels.table.f32_to_f16(x, halves, dims)
        // Back again: the norm is that of what is stored, and an overflow shows as infinity.
        kernels.table.f16_to_f32(halves, x, dims)
        let overflow = kernels.table.find_nonfinite(x, dims)
        guard overflow == dims else {
            throw EncodingFailure(
                reason: "the value at dim \(overflow) is too large for codec f16 (beyond 65504); "
                    + "use codec f32 or int8")
        }
        return RowStatistics(scale: 1, squaredNorm: kernels.table.sum_of_squares(x, dims))
    }

    package func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        kernels.table.f16_to_f32(
            bytes.baseAddress?.assumingMemoryBound(to: UInt16.self), target.baseAddress, dims)
    }

    package func encodeQuery(_ query: [Float]) throws(EncodingFailure) -> EncodedQuery {
        floatQuery(query, kernels)
    }

    package func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery {
        var row = [Float](repeating: 0, count: dims)
        bytes.withUnsafeBytes { bytes in
            row.withUnsafeMutableBufferPointer { decode(bytes, statistics, into: $0) }
        }
        return floatQuery(row, kernels)
    }

    package func accumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        let dims = dims(ofSlab: slab)
        query.withElements(from: firstDim(ofSlab: slab), as: Float.self) {
            kernels.table.dot_f16(
                chunk.baseAddress?.assumingMemoryBound(to: UInt16.self), rowCount,
                dims * elementBytes, dims, $0, sums.doubles)
        }
    }

    package func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        query.withElements(from: firstDim(ofSlab: slab), as: Float.self) {
            kernels.table.hash_and_dot_f16(
                chunk.baseAddress?.assumingMemoryBound(to: UInt16.self), rowCount,
                dims(ofSlab: slab), $0, sums.doubles)
        }
    }

    package func finish(_ sum: Accumulator, row: RowStatistics, query: EncodedQuery) -> Double {
        sum.double
    }
}
