// f16 and bf16: two bytes, rounded to nearest. The query stays f32; scores as in f32.

import CGradKernels

package struct HalfCodec: Codec {
    package let dims: Int
    package let bitsPerElement = 16
    private let format: Format
    private let kernels: KernelSet

    /// Which sixteen bits.
    package enum Format: String, Sendable {
        case f16, bf16
    }

    package init(_ format: Format, dims: Int, kernels: KernelSet) {
        self.format = format
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
        switch format {
        case .f16: kernels.table.f32_to_f16(x, halves, dims)
        case .bf16: kernels.table.f32_to_bf16(x, halves, dims)
        }
        // Back again: the norm is that of what is stored, and an overflow shows as infinity.
        widen(UnsafeRawBufferPointer(target), count: dims, into: x)
        let overflow = kernels.table.find_nonfinite(x, dims)
        guard overflow == dims else {
            throw EncodingFailure(
                reason: "the value at dim \(overflow) is too large for codec \(format.rawValue) "
                    + "(beyond \(format == .f16 ? "65504" : "3.39e38")); use codec f32")
        }
        return RowStatistics(scale: 1, squaredNorm: kernels.table.sum_of_squares(x, dims))
    }

    package func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        if let floats = target.baseAddress { widen(bytes, count: dims, into: floats) }
    }

    package func widen(
        _ chunk: UnsafeRawBufferPointer, count: Int, into target: UnsafeMutablePointer<Float>
    ) {
        let halves = chunk.baseAddress?.assumingMemoryBound(to: UInt16.self)
        switch format {
        case .f16: kernels.table.f16_to_f32(halves, target, count)
        case .bf16: kernels.table.bf16_to_f32(halves, target, count)
        }
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
        let dot = format == .f16 ? kernels.table.dot_f16 : kernels.table.dot_bf16
        dot?(
            chunk.baseAddress?.assumingMemoryBound(to: UInt16.self), rowCount, dims * 2, dims,
            query.elements.pointer(at: firstDim(ofSlab: slab) * 4, as: Float.self), sums.doubles)
    }

    package func hashAndAccumulate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        let rows = chunk.baseAddress?.assumingMemoryBound(to: UInt16.self)
        let dims = dims(ofSlab: slab)
        let elements = query.elements.pointer(at: firstDim(ofSlab: slab) * 4, as: Float.self)
        return switch format {
        case .f16:
            kernels.table.hash_and_dot_f16(rows, rowCount, dims, elements, sums.doubles)
        case .bf16:
            kernels.table.hash_and_dot_bf16(rows, rowCount, dims, elements, sums.doubles)
        }
    }

    package var canEstimate: Bool { true }
    package var isFloat: Bool { true }

    package func estimate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) {
        let dims = dims(ofSlab: slab)
        let estimate =
            format == .f16 ? kernels.table.estimate_f16 : kernels.table.estimate_bf16
        estimate?(
            chunk.baseAddress?.assumingMemoryBound(to: UInt16.self), rowCount, dims * 2, dims,
            query.elements.pointer(at: firstDim(ofSlab: slab) * 4, as: Float.self), sums.doubles)
    }

    package func hashAndEstimate(
        _ chunk: UnsafeRawBufferPointer, rowCount: Int, slab: Int, query: EncodedQuery,
        into sums: UnsafeMutablePointer<Accumulator>
    ) -> UInt64 {
        let estimate =
            format == .f16
            ? kernels.table.hash_and_estimate_f16 : kernels.table.hash_and_estimate_bf16
        return estimate?(
            chunk.baseAddress?.assumingMemoryBound(to: UInt16.self), rowCount,
            dims(ofSlab: slab),
            query.elements.pointer(at: firstDim(ofSlab: slab) * 4, as: Float.self), sums.doubles)
            ?? 0
    }

    package func term(of query: EncodedQuery, slabs: Int) -> ScoreTerm { .doubles }
}
