// int8: rotate, then one scale per row. Scores are exact integer sums, multiplied once at the end.

import CGradKernels

package struct Int8Codec: Codec {
    package let dims: Int
    package let elementBytes = 1
    private let rotation: Rotation
    private let kernels: KernelSet

    package init(dims: Int, seed: UInt64, kernels: KernelSet) {
        self.dims = dims
        self.kernels = kernels
        rotation = Rotation(dims: dims, seed: seed)
    }

    package func encode(
        _ row: UnsafeMutableBufferPointer<Float>, into target: UnsafeMutableRawBufferPointer
    ) throws(EncodingFailure) -> RowStatistics {
        guard let x = row.baseAddress, let bytes = target.baseAddress else {
            return RowStatistics(scale: 0, squaredNorm: 0)
        }
        rotation.apply(x, kernels: kernels)
        // Finite inputs near the end of f32's range overflow in the transform. The maximum alone
        // does not show a NaN, so all of it is looked at; the row is in the cache.
        guard kernels.table.find_nonfinite(x, dims) == dims else {
            throw EncodingFailure(
                reason: "values are too large for codec int8 (beyond about 1e33); use codec f32")
        }
        let largest = kernels.table.max_magnitude(x, dims)
        guard largest > 0 else {
            bytes.initializeMemory(as: UInt8.self, repeating: 0, count: dims)
            return RowStatistics(scale: 0, squaredNorm: 0)
        }
        // A subnormal scale has no finite inverse; such rows round to zeros.
        let scale = max(largest / 127, Float.leastNormalMagnitude)
        let sumOfSquares = kernels.table.quantize_int8(
            x, dims, 1 / scale, bytes.assumingMemoryBound(to: Int8.self))
        return RowStatistics(scale: scale, squaredNorm: Self.squaredNorm(sumOfSquares, scale))
    }

    package func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        for i in 0..<dims {
            target[i] = Float(Int8(bitPattern: bytes[i])) * statistics.scale
        }
        if let x = target.baseAddress { rotation.applyInverse(x, kernels: kernels) }
    }

    package func encodeQuery(_ floats: [Float]) throws(EncodingFailure) -> EncodedQuery {
        var row = floats
        var bytes: [UInt8] = []
        let statistics = try row.withUnsafeMutableBufferPointer {
            row throws(EncodingFailure) -> RowStatistics in
            let target = UnsafeMutableRawBufferPointer.allocate(byteCount: dims, alignment: 64)
            defer { target.deallocate() }
            let statistics = try encode(row, into: target)
            bytes = [UInt8](target)
            return statistics
        }
        return query(fromRow: bytes, statistics)
    }

    package func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery {
        let sums = (0..<geometry.slabCount).map { slab in
            let start = slab * SlabGeometry.slabBytes
            return bytes[start..<start + geometry.bytes(ofSlab: slab)].reduce(Int32(0)) {
                $0 + Int32(Int8(bitPattern: $1))
            }
        }
        return EncodedQuery(
            bytes: bytes, slabSums: sums, scale: statistics.scale,
            squaredNorm: statistics.squaredNorm)
    }

    package func accumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        let dims = dims(ofSlab: slab)
        query.withElements(from: firstDim(ofSlab: slab), as: Int8.self) {
            kernels.table.dot_int8(
                chunk.baseAddress?.assumingMemoryBound(to: Int8.self), rowCount,
                dims * elementBytes, dims, $0, query.slabSums[slab], sums.integers)
        }
    }

    package func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        query.withElements(from: firstDim(ofSlab: slab), as: Int8.self) {
            kernels.table.hash_and_dot_int8(
                chunk.baseAddress?.assumingMemoryBound(to: Int8.self), rowCount,
                dims(ofSlab: slab), $0, query.slabSums[slab], sums.integers)
        }
    }

    package func finish(_ sum: Accumulator, row: RowStatistics, query: EncodedQuery) -> Double {
        Double(sum.integer) * (Double(row.scale) * Double(query.scale))
    }

    private static func squaredNorm(_ sumOfSquares: UInt64, _ scale: Float) -> Double {
        Double(sumOfSquares) * (Double(scale) * Double(scale))
    }
}
