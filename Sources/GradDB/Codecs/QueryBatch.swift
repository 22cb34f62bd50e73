// Several queries of one layer side by side: rows are scored against all of them while both are in
// registers and caches. The sums are those of one query after the other, exactly.

import CGradKernels

/// The batch kernels of one codec.
package struct BatchKernels: Sendable {
    typealias Pack =
        @convention(c) (
            UnsafePointer<Int8>?, Int, Int, Int, UnsafeMutableRawPointer?
        ) -> Void

    let packedBytes: @convention(c) (Int, Int) -> Int
    let pack: Pack
    let dot:
        @Sendable (
            _ rows: UnsafeRawPointer?, _ rowCount: Int, _ stride: Int, _ dims: Int,
            _ packed: UnsafePointer<UInt8>?, _ queries: Int, _ sums: UnsafeMutablePointer<Int64>
        ) -> Void
}

/// Queries packed slab by slab, in the form of the machine's kernels.
package struct QueryBatch: Sendable {
    /// Rows to score in one go: a call's rows should fill vectors, and stay in the L2 cache between
    /// their verification and their scoring.
    static let rowBytes = 256 << 10

    private let codec: any Codec
    private let kernels: BatchKernels
    private let count: Int
    private let slabs: [AlignedBytes]

    /// Nil where the codec scores queries one by one, or where there is only one.
    init?(_ queries: [EncodedQuery], codec: any Codec) {
        let integers = queries.compactMap(\.integers)
        guard let kernels = codec.batchKernels, queries.count > 1, integers.count == queries.count
        else { return nil }
        self.codec = codec
        self.kernels = kernels
        count = queries.count
        slabs = (0..<codec.geometry.slabCount).map { slab in
            let dims = codec.dims(ofSlab: slab)
            let first = codec.firstDim(ofSlab: slab)
            // One below the other, for this slab only: the whole of them may be large.
            let matrix = AlignedBytes(first..<first + dims, of: integers)
            return AlignedBytes(count: kernels.packedBytes(dims, queries.count)) { packed in
                kernels.pack(
                    matrix.pointer(at: 0, as: Int8.self), dims, queries.count, dims,
                    packed.baseAddress)
            }
        }
    }

    /// Adds to `sums[r * count + q]` what row r's slab and query q's contribute. The rows follow
    /// each other without gaps.
    func accumulate(
        _ rows: UnsafeRawBufferPointer, rowCount: Int, slab: Int,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        kernels.dot(
            rows.baseAddress, rowCount, codec.geometry.bytes(ofSlab: slab),
            codec.dims(ofSlab: slab), slabs[slab].pointer(at: 0, as: UInt8.self), count,
            sums.integers)
    }
}
