// What the integer codecs share: rows are rotated before they are quantised, and a query becomes
// integers by one scale.

import CGradKernels

/// The rotation of a layer and what is done right after it.
package struct RotatedRow: Sendable {
    let codec: CodecKind
    let rotation: Rotation
    let kernels: KernelSet

    var dims: Int { rotation.dims }

    init(_ codec: CodecKind, dims: Int, seed: UInt64, kernels: KernelSet) {
        self.codec = codec
        self.kernels = kernels
        rotation = Rotation(dims: dims, seed: seed)
    }

    /// Rotates in place.
    ///
    /// - Throws: where finite values overflow on the way.
    func rotate(_ x: UnsafeMutablePointer<Float>) throws(EncodingFailure) {
        rotation.apply(x, kernels: kernels)
        // Finite inputs near the end of f32's range overflow in the transform. The maximum alone
        // does not show a NaN, so all of it is looked at; the row is in the cache.
        guard kernels.table.find_nonfinite(x, dims) == dims else {
            throw EncodingFailure(
                reason: "values are too large for codec \(codec.rawValue) (beyond about 1e33); "
                    + "use codec f32")
        }
    }

    /// Quantises a rotated row to integers of at most `levels`.
    func quantize(
        _ x: UnsafePointer<Float>, levels: Float, into target: UnsafeMutablePointer<Int8>
    ) -> RowStatistics {
        let largest = kernels.table.max_magnitude(x, dims)
        guard largest > 0 else {
            target.update(repeating: 0, count: dims)
            return .zero
        }
        // A subnormal scale has no finite inverse; such rows round to zeros.
        let scale = max(largest / levels, Float.leastNormalMagnitude)
        let squares = kernels.table.quantize_int8(x, dims, 1 / scale, target)
        return RowStatistics(
            scale: scale, squaredNorm: Double(squares) * (Double(scale) * Double(scale)))
    }

    /// A query as integers of at most `levels`.
    func integers(
        of query: [Float], levels: Float
    ) throws(EncodingFailure) -> (elements: [Int8], statistics: RowStatistics) {
        var row = query
        var elements = [Int8](repeating: 0, count: dims)
        let statistics = try row.withUnsafeMutableBufferPointer {
            row throws(EncodingFailure) -> RowStatistics in
            guard let x = row.baseAddress else { return .zero }
            try rotate(x)
            return elements.withUnsafeMutableBufferPointer { elements in
                elements.baseAddress.map { quantize(x, levels: levels, into: $0) } ?? .zero
            }
        }
        return (elements, statistics)
    }
}

/// A codec that rotates rows first, by the rotation that all such codecs of a layer share.
package protocol RotatedCodec: Codec {
    var rotated: RotatedRow { get }

    /// Encodes a row that has been rotated.
    func encode(
        rotated x: UnsafePointer<Float>, into bytes: UnsafeMutableRawPointer
    ) -> RowStatistics

    /// Decodes a row in the basis that it was quantised in.
    func decode(
        rotated bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>)
}

extension RotatedCodec {
    package var dims: Int { rotated.dims }

    package func encode(
        _ row: UnsafeMutableBufferPointer<Float>, into target: UnsafeMutableRawBufferPointer
    ) throws(EncodingFailure) -> RowStatistics {
        guard let x = row.baseAddress, let bytes = target.baseAddress else { return .zero }
        try rotated.rotate(x)
        return encode(rotated: x, into: bytes)
    }

    package func decode(
        _ bytes: UnsafeRawBufferPointer, _ statistics: RowStatistics,
        into target: UnsafeMutableBufferPointer<Float>
    ) {
        decode(rotated: bytes, statistics, into: target)
        if let x = target.baseAddress {
            rotated.rotation.applyInverse(x, kernels: rotated.kernels)
        }
    }
}

extension Codec {
    /// Sums of the elements of an integer query, by slab.
    func slabSums(_ elements: [Int8]) -> [Int32] {
        (0..<geometry.slabCount).map { slab in
            let first = firstDim(ofSlab: slab)
            return elements[first..<first + dims(ofSlab: slab)].reduce(0) { $0 + Int32($1) }
        }
    }
}
