// Encodes one row after the other in all encodings of a layer, with scratch space of its own.

/// An encoding that a writer fills, with what it takes to do so.
package struct TargetEncoding: Sendable {
    /// Position of the layer in the table.
    package let layer: Int
    package let number: UInt32
    package let kind: CodecKind
    package let codec: any Codec

    package init(_ encoding: LayerEncoding, layer: Int, codec: any Codec) {
        self.layer = layer
        self.codec = codec
        number = encoding.number
        kind = encoding.codec
    }
}

/// Used by one thread at a time.
package final class RowEncoder {
    /// The next row: to be filled before each call of `encode`, which leaves it in any state.
    package let row: UnsafeMutableBufferPointer<Float>
    private let targets: [Target]
    private let scratch: UnsafeMutableBufferPointer<Float>
    private let encoded: UnsafeMutableRawBufferPointer

    private struct Target {
        /// Position among the group's encodings.
        var index: Int
        var codec: any Codec
        var rotated: (any RotatedCodec)?
    }

    /// For the encodings at `indices`, all of one layer.
    package init(_ encodings: [TargetEncoding], at indices: [Int], dims: Int) {
        // The codecs of floats come first, so that the others can rotate the row in place.
        targets = indices.sorted { encodings[$0].kind < encodings[$1].kind }.map { index in
            let codec = encodings[index].codec
            return Target(index: index, codec: codec, rotated: codec as? any RotatedCodec)
        }
        row = .allocate(capacity: dims)
        scratch = .allocate(capacity: dims)
        encoded = .allocate(
            byteCount: targets.map(\.codec.rowBytes).max() ?? 0, alignment: 64)
    }

    deinit {
        row.deallocate()
        scratch.deallocate()
        encoded.deallocate()
    }

    /// Encodes `row`, which must be finite, and stores it as row number `index` of `group`.
    package func encode(into group: EncodedRowGroup, row index: Int) throws(EncodingFailure) {
        var isRotated = false
        for target in targets {
            let bytes = UnsafeMutableRawBufferPointer(rebasing: encoded[..<target.codec.rowBytes])
            var statistics = RowStatistics.zero
            if let codec = target.rotated, let x = row.baseAddress, let start = bytes.baseAddress {
                if !isRotated { try codec.rotated.rotate(x) }
                isRotated = true
                statistics = codec.encode(rotated: x, into: start)
            } else {
                _ = scratch.update(fromContentsOf: row)
                statistics = try target.codec.encode(scratch, into: bytes)
            }
            group.store(
                UnsafeRawBufferPointer(bytes), statistics, encoding: target.index, row: index)
        }
    }
}
