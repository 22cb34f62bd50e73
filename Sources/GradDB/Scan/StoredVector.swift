// Fetching single stored vectors: for queries that are rows of the table.

extension TableView {
    /// A stored row in one encoding of a layer: its encoded bytes and statistics.
    package struct StoredVector: Sendable {
        package var bytes: [UInt8]
        package var statistics: RowStatistics
    }

    /// Where a row's vectors of a checkpoint lie; nil when the checkpoint has none of it.
    package func location(
        of row: UInt64, in checkpoint: CheckpointDocument
    ) throws -> (segment: SegmentDocument, group: Int, index: Int)? {
        for segment in segments(of: checkpoint)
        where segment.firstRow <= row && row <= segment.lastRow {
            for group in 0..<segment.rowGroups {
                if let index = try rowMap(segment, group: group).firstIndex(of: row) {
                    return (segment, group, index)
                }
            }
        }
        return nil
    }

    /// One row of one layer as an encoding has it, verified.
    package func vector(
        _ layer: Layer, _ encoding: LayerEncoding,
        at place: (segment: SegmentDocument, group: Int, index: Int)
    ) throws -> StoredVector {
        let kernels = try KernelSet.chosen()
        let codec = try table.codec(layer, encoding.codec, kernels)
        var bytes: [UInt8] = []
        var statistics = RowStatistics(scale: 0, squaredNorm: 0)
        for slab in 0..<codec.geometry.slabCount {
            let block = try BlockReader(
                store, blockKey(encoding, place.segment, group: place.group, slab: slab),
                rows: place.segment.rows(ofGroup: place.group), codec: codec,
                kind: encoding.codec, kernels: kernels)
            if slab == 0 { statistics = block.statistics()[place.index] }
            bytes += try block.row(place.index, kernels: kernels)
        }
        return StoredVector(bytes: bytes, statistics: statistics)
    }
}
