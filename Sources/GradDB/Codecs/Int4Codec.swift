// int4: rotate, then sixteen equal steps around zero, by RaBitQ's unbiased scale. The kernels see
// codes c = 0...15; the levels 2c - 15 that they stand for come in at the end.

import CGradKernels

package struct Int4Codec: Codec {
    package let bitsPerElement = 4
    private let rotated: RotatedRow
    private var kernels: KernelSet { rotated.kernels }

    /// The step, in standard deviations, that loses least of a Gaussian in sixteen equal steps
    /// (Max, Quantizing for minimum distortion, 1960).
    private static let step = 0.3352

    package var dims: Int { rotated.dims }

    package init(dims: Int, seed: UInt64, kernels: KernelSet) {
        rotated = RotatedRow(.int4, dims: dims, seed: seed, kernels: kernels)
    }

    package func encode(
        _ row: UnsafeMutableBufferPointer<Float>, into target: UnsafeMutableRawBufferPointer
    ) throws(EncodingFailure) -> RowStatistics {
        guard let x = row.baseAddress, let bytes = target.baseAddress else { return .zero }
        try rotated.rotate(x)
        let squaredNorm = kernels.table.sum_of_squares(x, dims)
        guard squaredNorm > 0 else {
            bytes.initializeMemory(as: UInt8.self, repeating: 0, count: rowBytes)
            return .zero
        }
        let step = Float(Self.step * (squaredNorm / Double(dims)).squareRoot())
        let levels = kernels.table.quantize_int4(
            x, dims, 1 / max(step, Float.leastNormalMagnitude),
            bytes.assumingMemoryBound(to: UInt8.self))
        return RotatedRow.statistics(
            squaredNorm: squaredNorm, dot: levels.dot, squares: Double(levels.squares))
    }

    /// Twice the code, less 15.
    private func level(_ bytes: some RandomAccessCollection<UInt8>, _ i: Int) -> Int8 {
        let byte = bytes[bytes.index(bytes.startIndex, offsetBy: i / 2)]
        return 2 * Int8(i % 2 == 0 ? byte & 15 : byte >> 4) - 15
    }

    package func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        for i in 0..<dims { target[i] = Float(level(bytes, i)) * statistics.scale }
        if let x = target.baseAddress { rotated.rotation.applyInverse(x, kernels: kernels) }
    }

    package func encodeQuery(_ query: [Float]) throws(EncodingFailure) -> EncodedQuery {
        let (elements, statistics) = try rotated.integers(of: query, levels: 127)
        return self.query(elements, statistics)
    }

    package func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery {
        query((0..<dims).map { level(bytes, $0) }, statistics)
    }

    /// Elements 2j in the first half, elements 2j + 1 in the second.
    private func query(_ elements: [Int8], _ statistics: RowStatistics) -> EncodedQuery {
        let packed = AlignedBytes(count: 2 * rowBytes) { target in
            for (i, element) in elements.enumerated() {
                target[i / 2 + i % 2 * rowBytes] = UInt8(bitPattern: element)
            }
        }
        return EncodedQuery(
            elements: packed, integers: elements.withUnsafeBytes(AlignedBytes.init),
            slabSums: slabSums(elements), scale: statistics.scale,
            squaredNorm: statistics.squaredNorm)
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

    package func finish(_ sum: Accumulator, row: RowStatistics, query: EncodedQuery) -> Double {
        let querySum = query.slabSums.reduce(Int64(0)) { $0 + Int64($1) }
        let levels = 2 * sum.integer - 15 * querySum
        return Double(levels) * (Double(row.scale) * Double(query.scale))
    }
}
