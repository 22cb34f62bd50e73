// All rows of a row group as one encoding has them: verified, and put together from their slabs.

/// A buffer for one row group at a time. Reused from group to group.
package final class StoredRowGroup: @unchecked Sendable {
    // Workers write disjoint parts; rows are read only after they have been joined.
    private let view: TableView
    private let encoding: LayerEncoding
    private let codec: any Codec
    private let kernels: KernelSet
    private var statistics: [RowStatistics] = []
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    package init(
        _ view: TableView, _ encoding: LayerEncoding, codec: any Codec, kernels: KernelSet
    ) {
        self.view = view
        self.encoding = encoding
        self.codec = codec
        self.kernels = kernels
    }

    deinit { buffer.deallocate() }

    package func load(_ segment: SegmentDocument, group: Int, threads: Int) throws {
        let rows = segment.rows(ofGroup: group)
        if buffer.count < rows * codec.rowBytes {
            buffer.deallocate()
            buffer = .allocate(byteCount: rows * codec.rowBytes, alignment: 64)
        }
        try Parallel.forEach(codec.geometry.slabCount, threads: threads) { [self] slab, _ in
            let block = try BlockReader(
                view.store, view.blockKey(encoding, segment, group: group, slab: slab), rows: rows,
                codec: codec, kind: encoding.codec, kernels: kernels)
            if slab == 0 { statistics = block.statistics() }
            try copyRows(of: block, slab: slab)
        }
    }

    /// The bytes and statistics of a row, counted within the group.
    package func row(_ index: Int) -> (bytes: UnsafeRawBufferPointer, statistics: RowStatistics) {
        let start = index * codec.rowBytes
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[start..<start + codec.rowBytes])
        return (bytes, statistics[index])
    }

    private func copyRows(of block: borrowing BlockReader, slab: Int) throws {
        let stride = block.layout.stride
        let offset = slab * SlabGeometry.slabBytes
        try block.forEachChunk { chunk in
            try block.verify(chunk, hash: kernels.hash(chunk.bytes))
            for (index, row) in chunk.rows.enumerated() {
                let target = row * codec.rowBytes + offset
                let source = index * stride
                UnsafeMutableRawBufferPointer(rebasing: buffer[target..<target + stride])
                    .copyMemory(
                        from: UnsafeRawBufferPointer(
                            rebasing: chunk.bytes[source..<source + stride]))
            }
        }
    }
}
