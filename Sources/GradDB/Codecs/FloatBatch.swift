// Several queries against rows of floats: rows become single precision in the cache, and one
// product of matrices scores them all. An estimate: OpenBLAS adds in an order of its own.

/// Queries side by side, slab by slab, as a matrix product takes them.
package struct FloatBatch: Sendable {
    /// Fewer queries are as fast one after the other.
    private static let minQueries = 4

    /// Whether so many queries are scored faster together.
    package static func pays(queries: Int) -> Bool {
        queries >= minQueries && FloatMatrix.loaded != nil
    }

    /// Bytes of rows as floats per product: in the L2 cache, and enough rows to be worth packing
    /// the queries anew.
    static let floatBytes = 512 << 10

    private let codec: any Codec
    private let matrix: FloatMatrix
    private let count: Int
    private let slabs: [AlignedBytes]

    /// Nil where queries are better scored one by one.
    init?(_ queries: [EncodedQuery], codec: any Codec) {
        guard codec.isFloat, Self.pays(queries: queries.count), let matrix = FloatMatrix.loaded
        else { return nil }
        self.codec = codec
        self.matrix = matrix
        count = queries.count
        slabs = (0..<codec.geometry.slabCount).map { slab in
            let bytes = codec.dims(ofSlab: slab) * 4
            let first = codec.firstDim(ofSlab: slab) * 4
            return AlignedBytes(first..<first + bytes, of: queries.map(\.elements))
        }
    }

    /// Room for rows as floats and for a product; one per thread.
    final class Scratch {
        let rows: UnsafeMutableBufferPointer<Float>
        private(set) var product: UnsafeMutableBufferPointer<Float>

        init() {
            rows = .allocate(capacity: FloatBatch.floatBytes / 4)
            product = .allocate(capacity: 0)
        }

        func product(count: Int) -> UnsafeMutableBufferPointer<Float> {
            if product.count < count {
                product.deallocate()
                product = .allocate(capacity: count)
            }
            return product
        }

        deinit {
            rows.deallocate()
            product.deallocate()
        }
    }

    /// Adds to `sums[r * count + q]` about what row r's slab and query q's contribute. The rows
    /// follow each other without gaps.
    func accumulate(
        _ rows: UnsafeRawBufferPointer, rowCount: Int, slab: Int, scratch: Scratch,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        let dims = codec.dims(ofSlab: slab)
        let stride = codec.geometry.bytes(ofSlab: slab)
        // A row of a slab has 1,024 or 2,048 floats: several fit.
        let most = scratch.rows.count / dims
        guard let floats = scratch.rows.baseAddress,
            let queries = slabs[slab].pointer(at: 0, as: Float.self)
        else { return }
        var first = 0
        while first < rowCount {
            let taken = min(most, rowCount - first)
            let bytes = UnsafeRawBufferPointer(
                rebasing: rows[first * stride..<(first + taken) * stride])
            codec.widen(bytes, count: taken * dims, into: floats)
            let product = scratch.product(count: taken * count)
            guard let results = product.baseAddress else { return }
            matrix.multiply(
                floats, byTransposed: queries, rows: taken, columns: count, inner: dims,
                into: results)
            let target = sums.doubles + first * count
            for index in 0..<taken * count { target[index] += Double(results[index]) }
            first += taken
        }
    }
}
