// The dot product of two stored rows of a layer, slab by slab: what scoring one against the other as a
// query gives (format-spec/codecs.md), to the bit, without making a query of it. Which of the two is
// called the query does not matter: products and the order of their sums are the same.

import CGradKernels

/// Scores pairs of rows that are stored in one codec. One thread at a time: it has scratch space.
final class RowPair {
    private let kind: CodecKind
    private let codec: any Codec
    private let table: gk_kernels
    /// A slab of a row of halves, as floats.
    private var widened: [Float]

    init(_ kind: CodecKind, _ codec: any Codec, _ kernels: KernelSet) {
        self.kind = kind
        self.codec = codec
        table = kernels.table
        let isHalf = kind == .f16 || kind == .bf16
        widened = isHalf ? [Float](repeating: 0, count: codec.dims(ofSlab: 0)) : []
    }

    /// Adds what a slab of two rows contributes to their dot product.
    func add(
        _ a: UnsafeRawPointer, _ b: UnsafeRawPointer, slab: Int, to sum: inout Accumulator
    ) {
        let dims = codec.dims(ofSlab: slab)
        switch kind {
        case .int8, .int4, .bit:
            var integer = sum.integer
            switch kind {
            case .int8:
                table.pair_int8(
                    a.assumingMemoryBound(to: Int8.self), b.assumingMemoryBound(to: Int8.self),
                    dims, &integer)
            case .int4:
                table.pair_int4(
                    a.assumingMemoryBound(to: UInt8.self), b.assumingMemoryBound(to: UInt8.self),
                    dims, &integer)
            default:
                table.pair_bit(
                    a.assumingMemoryBound(to: UInt8.self), b.assumingMemoryBound(to: UInt8.self),
                    dims, &integer)
            }
            sum.bits = UInt64(bitPattern: integer)
        case .f32, .f16, .bf16:
            var double = sum.double
            if kind == .f32 {
                table.dot_f32(
                    a.assumingMemoryBound(to: Float.self), 1, dims * 4, dims,
                    b.assumingMemoryBound(to: Float.self), &double)
            } else {
                let halves = b.assumingMemoryBound(to: UInt16.self)
                let dot = kind == .f16 ? table.dot_f16 : table.dot_bf16
                widened.withUnsafeMutableBufferPointer { floats in
                    guard let floats = floats.baseAddress else { return }
                    codec.widen(
                        UnsafeRawBufferPointer(start: a, count: dims * 2), count: dims,
                        into: floats)
                    dot?(halves, 1, dims * 2, dims, floats, &double)
                }
            }
            sum.bits = double.bitPattern
        }
    }

    /// The dot product, of what all slabs added up.
    func dot(_ sum: Accumulator, _ a: RowStatistics, _ b: RowStatistics) -> Double {
        switch kind {
        case .f32, .f16, .bf16: sum.double
        case .int8, .int4, .bit:
            Double(sum.integer) * (Double(a.scale) * Double(b.scale))
        }
    }
}
