// One stored block, checked before it is believed: header against the catalog, chunk by chunk
// against its checksums.

/// A pinned block whose header has been verified.
package struct BlockReader: ~Copyable {
    private let value: PinnedValue
    package let key: BlockKey
    package let layout: BlockLayout
    /// Whether all of it, header and chunks, has been verified before.
    package let isVerified: Bool

    /// Finds and pins a block.
    ///
    /// - Parameter verified: blocks that are believed as they are; nil believes none.
    /// - Throws: `.corrupt` when it is missing, or is not what the catalog says it is.
    package init(
        _ store: RocksStore, _ key: BlockKey, rows: Int, codec: any Codec, kind: CodecKind,
        kernels: KernelSet, trusting verified: VerifiedBlocks? = nil
    ) throws {
        guard let value = try store.pinned(.blocks, key.bytes) else {
            throw GradDBError.corrupt("\(key) is missing")
        }
        let slab = Int(key.slab)
        let layout = BlockLayout(
            rows: rows, stride: codec.geometry.bytes(ofSlab: slab), hasStatistics: slab == 0)
        let isVerified = verified?.contains(key) ?? false
        try value.withBytes { bytes in
            guard !isVerified || bytes.count != layout.byteCount else { return }
            let header = try Self.header(of: bytes, at: key, kernels)
            guard header.codec == kind.number, header.rows == UInt32(rows),
                header.dims == UInt32(codec.dims(ofSlab: slab)),
                header.firstDim == UInt64(codec.firstDim(ofSlab: slab)),
                header.stride == UInt32(layout.stride),
                header.rowsPerChunk == UInt32(layout.rowsPerChunk),
                header.hasStatistics == layout.hasStatistics, bytes.count == layout.byteCount
            else { throw GradDBError.corrupt("\(key) does not match the catalog") }
        }
        self.value = value
        self.isVerified = isVerified
        self.key = key
        self.layout = layout
    }

    private static func header(
        of bytes: UnsafeRawBufferPointer, at key: BlockKey, _ kernels: KernelSet
    ) throws -> BlockHeader {
        do {
            return try BlockHeader(verifying: bytes, at: key, hash: kernels.hash)
        } catch let error as GradDBError where error.kind == .corrupt {
            EngineMetrics.add(1, to: .checksumFailures)
            throw error
        }
    }

    /// The statistics of all rows (slab 0 only; they were verified with the header).
    package borrowing func statistics() -> [RowStatistics] {
        guard layout.hasStatistics else { return [] }
        let rows = layout.rows
        return value.withBytes { bytes in
            (0..<rows).map { RowStatistics(loading: bytes, row: $0) }
        }
    }

    /// Rows that share a checksum.
    package struct Chunk {
        package let index: Int
        /// Counted within the block.
        package let rows: Range<Int>
        package let bytes: UnsafeRawBufferPointer
        /// The stored checksum of `bytes`.
        package let checksum: UInt64
    }

    /// Calls `body` with each chunk that has a row in `mask` (nil: all rows). Whoever uses the bytes
    /// must see to it that their checksum is the stored one.
    package borrowing func forEachChunk(
        mask: [Bool]? = nil, _ body: (Chunk) throws -> Void
    ) rethrows {
        let layout = self.layout
        try value.withBytes { block in
            for index in 0..<layout.chunkCount {
                if let mask, !mask[layout.rows(ofChunk: index)].contains(true) { continue }
                try body(Self.chunk(index, layout, block))
            }
        }
    }

    /// Calls `body` with rows that follow each other and have a chunk with a row in `mask` (nil: all
    /// rows), and their bytes.
    package borrowing func forEachRun(
        mask: [Bool]?, _ body: (Range<Int>, UnsafeRawBufferPointer) throws -> Void
    ) rethrows {
        let layout = self.layout
        try value.withBytes { block in
            func run(_ rows: Range<Int>) throws {
                try body(
                    rows, UnsafeRawBufferPointer(rebasing: block[layout.bytes(ofRows: rows)]))
            }
            guard let mask else {
                try run(0..<layout.rows)
                return
            }
            for index in 0..<layout.chunkCount {
                let rows = layout.rows(ofChunk: index)
                if mask[rows].contains(true) { try run(rows) }
            }
        }
    }

    /// Calls `body` with each chunk that holds one of `rows`, which ascend.
    package borrowing func forEachChunk(
        holding rows: some Sequence<Int>, _ body: (Chunk) throws -> Void
    ) rethrows {
        let layout = self.layout
        try value.withBytes { block in
            var last = -1
            for row in rows {
                let index = row / layout.rowsPerChunk
                guard index != last else { continue }
                last = index
                try body(Self.chunk(index, layout, block))
            }
        }
    }

    /// Calls `body` with the chunk that holds a row.
    package borrowing func withChunk<R>(
        holding row: Int, _ body: (Chunk) throws -> R
    ) rethrows -> R {
        let layout = self.layout
        return try value.withBytes { try body(Self.chunk(row / layout.rowsPerChunk, layout, $0)) }
    }

    private static func chunk(
        _ index: Int, _ layout: BlockLayout, _ block: UnsafeRawBufferPointer
    ) -> Chunk {
        let rows = layout.rows(ofChunk: index)
        let checksum = block.loadUnaligned(
            fromByteOffset: layout.checksumsOffset + index * 8, as: UInt64.self)
        return Chunk(
            index: index, rows: rows,
            bytes: UnsafeRawBufferPointer(rebasing: block[layout.bytes(ofRows: rows)]),
            checksum: UInt64(littleEndian: checksum))
    }

    /// - Throws: `.corrupt`, naming chunk and block, unless `hash` is the chunk's checksum.
    package borrowing func verify(_ chunk: Chunk, hash: UInt64) throws {
        guard hash == chunk.checksum else {
            EngineMetrics.add(1, to: .checksumFailures)
            throw GradDBError.corrupt("chunk \(chunk.index) of \(key) fails its checksum")
        }
    }

    /// Verifies every chunk.
    package borrowing func verifyAll(kernels: KernelSet) throws {
        try forEachChunk { try verify($0, hash: kernels.hash($0.bytes)) }
    }

    /// All bytes of one row in this slab, verified.
    package borrowing func row(_ row: Int, kernels: KernelSet) throws -> [UInt8] {
        let layout = self.layout
        return try value.withBytes { block in
            let chunk = Self.chunk(row / layout.rowsPerChunk, layout, block)
            try verify(chunk, hash: kernels.hash(chunk.bytes))
            let start = (row - chunk.rows.lowerBound) * layout.stride
            return [UInt8](chunk.bytes[start..<start + layout.stride])
        }
    }
}
