// Which blocks the segments of a table hold, in whatever encoding: what a check, a repair and a rescue
// go through.

extension Table {
    /// Of all encodings that the table ever had, by number.
    func codecs(
        _ kernels: KernelSet
    ) throws -> [UInt32: (kind: CodecKind, codec: any Codec)] {
        var codecs: [UInt32: (CodecKind, any Codec)] = [:]
        for layer in layers {
            for encoding in layer.encodings {
                codecs[encoding.number] = (
                    encoding.codec, try codec(layer, encoding.codec, kernels)
                )
            }
        }
        return codecs
    }

    /// Keys of the blocks that a segment or companion holds, ascending.
    ///
    /// - Parameter codecs: those of the table's encodings; of others there are no blocks.
    func blockKeys(
        of segment: SegmentDocument, _ codecs: [UInt32: (kind: CodecKind, codec: any Codec)]
    ) -> [BlockKey] {
        (0..<segment.rowGroups).flatMap { group in
            segment.encodings.flatMap { part in
                (0..<(codecs[part.encoding]?.codec.geometry.slabCount ?? 0)).map { slab in
                    BlockKey(
                        table: document.table, segment: segment.segment,
                        rowGroup: UInt32(group), encoding: part.encoding, slab: UInt32(slab))
                }
            }
        }
    }
}
