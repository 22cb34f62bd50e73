// bit: rotate, then only the signs, by RaBitQ's unbiased scale (Gao and Long, SIGMOD 2024). The
// kernels see bits b; the levels 2b - 1 that they stand for come in at the end. Queries have six
// bits, one plane each: AND with a row, and count.

import CGradKernels

package struct BitCodec: Codec {
    package let bitsPerElement = 1
    private let rotated: RotatedRow
    private var kernels: KernelSet { rotated.kernels }

    private static let planes = Int(GK_BIT_PLANES)
    /// The largest element of a query: six bits in two's complement, balanced.
    private static let queryLevels: Float = 31

    package var dims: Int { rotated.dims }

    package init(dims: Int, seed: UInt64, kernels: KernelSet) {
        rotated = RotatedRow(.bit, dims: dims, seed: seed, kernels: kernels)
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
        let dot = kernels.table.quantize_bit(x, dims, bytes.assumingMemoryBound(to: UInt8.self))
        return RotatedRow.statistics(squaredNorm: squaredNorm, dot: dot, squares: Double(dims))
    }

    private func level(_ bytes: some RandomAccessCollection<UInt8>, _ i: Int) -> Int8 {
        let byte = bytes[bytes.index(bytes.startIndex, offsetBy: i / 8)]
        return 2 * Int8(byte >> UInt8(i % 8) & 1) - 1
    }

    package func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        for i in 0..<dims { target[i] = Float(level(bytes, i)) * statistics.scale }
        if let x = target.baseAddress { rotated.rotation.applyInverse(x, kernels: kernels) }
    }

    package func encodeQuery(_ query: [Float]) throws(EncodingFailure) -> EncodedQuery {
        let (elements, statistics) = try rotated.integers(of: query, levels: Self.queryLevels)
        return self.query(elements, statistics)
    }

    package func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery {
        query((0..<dims).map { level(bytes, $0) }, statistics)
    }

    /// Slab after slab, and within one plane after plane.
    private func query(_ elements: [Int8], _ statistics: RowStatistics) -> EncodedQuery {
        let packed = AlignedBytes(count: Self.planes * rowBytes) { target in
            for slab in 0..<geometry.slabCount {
                let first = firstDim(ofSlab: slab)
                let planeBytes = geometry.bytes(ofSlab: slab)
                let start = planesOffset(slab)
                for i in 0..<dims(ofSlab: slab) {
                    let element = UInt8(bitPattern: elements[first + i])
                    for plane in 0..<Self.planes {
                        target[start + plane * planeBytes + i / 8] |=
                            (element >> UInt8(plane) & 1) << UInt8(i % 8)
                    }
                }
            }
        }
        return EncodedQuery(
            elements: packed, integers: elements.withUnsafeBytes(AlignedBytes.init),
            slabSums: slabSums(elements), scale: statistics.scale,
            squaredNorm: statistics.squaredNorm)
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

    package func finish(_ sum: Accumulator, row: RowStatistics, query: EncodedQuery) -> Double {
        let querySum = query.slabSums.reduce(Int64(0)) { $0 + Int64($1) }
        let levels = 2 * sum.integer - querySum
        return Double(levels) * (Double(row.scale) * Double(query.scale))
    }
}
