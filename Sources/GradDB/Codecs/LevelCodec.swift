// What int4 and bit share: a row's elements become few odd integers, its levels, with RaBitQ's
// unbiased scale (Gao and Long, SIGMOD 2024). Kernels score the codes as they are stored; the
// levels that they stand for come in at the end.

/// A codec whose code c of an element stands for the level 2c - `offset`.
package protocol LevelCodec: RotatedCodec {
    /// The largest code.
    var offset: Int64 { get }
    /// The largest element of a query.
    var queryLevels: Float { get }

    /// Stores the codes of a rotated row; gives the sums of v * x and of v * v over its levels v.
    func quantize(
        _ x: UnsafePointer<Float>, squaredNorm: Double, into codes: UnsafeMutablePointer<UInt8>
    ) -> (dot: Double, squares: Double)

    /// The code of element i of a stored row.
    func code(_ bytes: UnsafeRawBufferPointer, _ i: Int) -> UInt8

    /// A query's elements as the single-query kernels want them.
    func arrange(_ elements: [Int8]) -> AlignedBytes
}

extension LevelCodec {
    package func encode(
        rotated x: UnsafePointer<Float>, into bytes: UnsafeMutableRawPointer
    ) -> RowStatistics {
        let squaredNorm = rotated.kernels.table.sum_of_squares(x, dims)
        guard squaredNorm > 0 else {
            bytes.initializeMemory(as: UInt8.self, repeating: 0, count: rowBytes)
            return .zero
        }
        let levels = quantize(
            x, squaredNorm: squaredNorm, into: bytes.assumingMemoryBound(to: UInt8.self))
        let ratio = squaredNorm / levels.dot
        let residual = max(0, ratio * ratio * levels.squares - squaredNorm).squareRoot()
        return RowStatistics(
            scale: Float(ratio), residualNorm: Float(residual), squaredNorm: squaredNorm)
    }

    private func level(_ bytes: UnsafeRawBufferPointer, _ i: Int) -> Int8 {
        Int8(2 * Int64(code(bytes, i)) - offset)
    }

    package func decode(
        rotated bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        for i in 0..<dims { target[i] = Float(level(bytes, i)) * statistics.scale }
    }

    package func encodeQuery(_ query: [Float]) throws(EncodingFailure) -> EncodedQuery {
        let (elements, statistics) = try rotated.integers(of: query, levels: queryLevels)
        return self.query(elements, statistics)
    }

    package func query(fromRow bytes: [UInt8], _ statistics: RowStatistics) -> EncodedQuery {
        let elements = bytes.withUnsafeBytes { bytes in (0..<dims).map { level(bytes, $0) } }
        return query(elements, statistics)
    }

    private func query(_ elements: [Int8], _ statistics: RowStatistics) -> EncodedQuery {
        EncodedQuery(
            elements: arrange(elements), integers: elements.withUnsafeBytes(AlignedBytes.init),
            slabSums: slabSums(elements), scale: statistics.scale,
            squaredNorm: statistics.squaredNorm)
    }

    package func term(of query: EncodedQuery, slabs: Int) -> ScoreTerm {
        .integers(
            factor: 2, addend: -offset * query.elementSum(slabs: slabs),
            scale: Double(query.scale) / share(ofSlabs: slabs))
    }
}
