// int8: rotate, then one scale per row. Scores are exact integer sums, multiplied once at the end.

import CGradKernels

package struct Int8Codec: RotatedCodec {
    package let bitsPerElement = 8
    package let rotated: RotatedRow
    private var kernels: KernelSet { rotated.kernels }

    package init(dims: Int, seed: UInt64, kernels: KernelSet) {
        rotated = RotatedRow(.int8, dims: dims, seed: seed, kernels: kernels)
    }

    package func encode(
        rotated x: UnsafePointer<Float>, into bytes: UnsafeMutableRawPointer
    ) -> RowStatistics {
        rotated.quantize(x, levels: 127, into: bytes.assumingMemoryBound(to: Int8.self))
    }

    package func decode(
        rotated bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        for i in 0..<dims {
            target[i] = Float(Int8(bitPattern: bytes[i])) * statistics.scale
        }
    }

    package func encodeQuery(_ query: [Float]) throws(EncodingFailure) -> EncodedQuery {
        let (elements, statistics) = try rotated.integers(of: query, levels: 127)
        return self.query(elements, statistics)
    }

    package func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery {
        query(bytes.map { Int8(bitPattern: $0) }, statistics)
    }

    private func query(_ elements: [Int8], _ statistics: RowStatistics) -> EncodedQuery {
        let bytes = elements.withUnsafeBytes(AlignedBytes.init)
        return EncodedQuery(
            elements: bytes, integers: bytes, slabSums: slabSums(elements),
            scale: statistics.scale, squaredNorm: statistics.squaredNorm)
    }

    package func accumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        let dims = dims(ofSlab: slab)
        kernels.table.dot_int8(
            chunk.baseAddress?.assumingMemoryBound(to: Int8.self), rowCount, dims, dims,
            query.elements.pointer(at: firstDim(ofSlab: slab), as: Int8.self),
            query.slabSums[slab], sums.integers)
    }

    package func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        kernels.table.hash_and_dot_int8(
            chunk.baseAddress?.assumingMemoryBound(to: Int8.self), rowCount, dims(ofSlab: slab),
            query.elements.pointer(at: firstDim(ofSlab: slab), as: Int8.self),
            query.slabSums[slab], sums.integers)
    }

    package var batchKernels: BatchKernels? {
        guard let batch = kernels.table.batch?.pointee, let packedBytes = batch.packed_bytes_int8,
            let pack = batch.pack_int8, let dot = batch.dot_int8
        else { return nil }
        return BatchKernels(packedBytes: packedBytes, pack: pack) {
            rows, rowCount, stride, dims, packed, queries, sums in
            dot(
                rows?.assumingMemoryBound(to: Int8.self), rowCount, stride, dims, packed,
                queries, sums, queries)
        }
    }

    package func term(of query: EncodedQuery, slabs: Int) -> ScoreTerm {
        .integers(factor: 1, addend: 0, scale: Double(query.scale) / share(ofSlabs: slabs))
    }
}
