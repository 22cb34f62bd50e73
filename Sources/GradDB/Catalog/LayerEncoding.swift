// STUB until merged
package struct LayerEncoding: Sendable, Equatable {
    package var number: UInt32
    package var codec: CodecKind
}

extension TableView {
    package func encodings(of layer: Layer) -> [LayerEncoding] {
        [LayerEncoding(number: layer.number, codec: layer.codec)]
    }
    package func segment(holding encoding: LayerEncoding, of segment: SegmentDocument) -> UInt64 {
        segment.segment
    }
}

extension Table {
    package func codec(
        _ layer: Layer, _ kind: CodecKind, _ kernels: KernelSet
    ) throws -> any Codec {
        kind.codec(dims: layer.dims, seed: try layer.seedValue, kernels: kernels)
    }
}
