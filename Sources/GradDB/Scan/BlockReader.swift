// One stored block, checked before it is believed: header against the catalog, chunk by chunk
// against its checksums.

/// A pinned block whose header has been verified.
package struct BlockReader: ~Copyable {
    private let value: PinnedValue
    package let key: BlockKey
    package let layout: BlockLayout

    /// Finds and pins a block.
    ///
    /// - Throws: `.corrupt` when it is missing, or is not what the catalog says it is.
    package init(
        _ store: RocksStore, _ key: BlockKey, rows: Int, codec: any Codec, kind: CodecKind,
        kernels: KernelSet
    ) throws {
        guard let value = try store.pinned(.blocks, key.bytes) else {
            throw GradDBError.corrupt("\(key) is missing")
        }
        let slab = Int(key.slab)
        let layout = BlockLayout(
            rows: rows, stride: codec.geometry.bytes(ofSlab: slab), hasStatistics: slab == 0)
        try value.withBytes { bytes in
            let header = try BlockHeader(verifying: bytes, at: key, hash: kernels.hash)
            guard header.codec == kind.number, header.rows == UInt32(rows),
                header.dims == UInt32(codec.dims(ofSlab: slab)),
                header.firstDim == UInt64(codec.firstDim(ofSlab: slab)),
                header.stride == UInt32(layout.stride),
                header.rowsPerChunk == UInt32(layout.rowsPerChunk),
                header.hasStatistics == layout.hasStatistics, bytes.count == layout.byteCount
            else { throw GradDBError.corrupt("\(key) does not match the catalog") }
        }
        self.value = value
        self.key = key
        self.layout = layout
    }

    /// The statistics of all rows (slab 0 only; they were verified with the header).
    package borrowing func statistics() -> [RowStatistics] {
        guard layout.hasStatistics else { return [] }
        let rows = layout.rows
        return value.withBytes { bytes in
            (0..<rows).map { RowStatistics(loading: bytes, row: $0) }
        }
    }

    /// Calls `body` with each chunk that `wanted` asks for, after its checksum has been verified,
    /// and with the bytes that follow it: what a kernel may prefetch.
    package borrowing func forEachChunk(
        kernels: KernelSet, wanted: (Range<Int>) -> Bool = { _ in true },
        _ body: (
            _ rows: Range<Int>, _ chunk: UnsafeRawBufferPointer, _ next: UnsafeRawBufferPointer
        ) throws -> Void
    ) throws {
        let layout = self.layout
        let key = self.key
        try value.withBytes { block in
            for index in 0..<layout.chunkCount {
                let rows = layout.rows(ofChunk: index)
                guard wanted(rows) else { continue }
                let start = layout.payloadOffset + rows.lowerBound * layout.stride
                let end = layout.payloadOffset + rows.upperBound * layout.stride
                let chunk = UnsafeRawBufferPointer(rebasing: block[start..<end])
                let expected = UInt64(
                    littleEndian: block.loadUnaligned(
                        fromByteOffset: layout.checksumsOffset + index * 8, as: UInt64.self))
                guard kernels.hash(chunk) == expected else {
                    throw GradDBError.corrupt("chunk \(index) of \(key) fails its checksum")
                }
                let next = UnsafeRawBufferPointer(
                    rebasing: block[end..<min(end + chunk.count, block.count)])
                try body(rows, chunk, next)
            }
        }
    }

    /// All bytes of one row in this slab, verified.
    package borrowing func row(_ row: Int, kernels: KernelSet) throws -> [UInt8] {
        var found: [UInt8] = []
        let stride = layout.stride
        try forEachChunk(kernels: kernels, wanted: { $0.contains(row) }) { rows, chunk, _ in
            let start = (row - rows.lowerBound) * stride
            found = [UInt8](chunk[start..<start + stride])
        }
        return found
    }
}
