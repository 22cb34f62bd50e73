// How the bytes of an encoding are cut into slabs, and where things lie in a block. Pure arithmetic
// shared by the block builder and the block reader; format-spec/block.md draws it.
//
//   +--------------+-----------------------------+---------------------+----------------------+
//   | header, 128  | row statistics, 16 per row  | payload: rows, each | chunk checksums,     |
//   |              | (slab 0 only)               | slab contiguous     | 8 per chunk          |
//   +--------------+-----------------------------+---------------------+----------------------+

/// How the rows of one encoding are cut into slabs.
package struct SlabGeometry: Equatable, Sendable {
    /// Bytes of a full slab of one row.
    package static let slabBytes = 4096

    /// Bytes of one encoded row.
    package let rowBytes: Int

    package init(rowBytes: Int) { self.rowBytes = rowBytes }

    package var slabCount: Int { (rowBytes + Self.slabBytes - 1) / Self.slabBytes }

    /// Bytes of one row in slab `slab`; the last slab may be shorter.
    package func bytes(ofSlab slab: Int) -> Int {
        min(Self.slabBytes, rowBytes - slab * Self.slabBytes)
    }
}

/// Offsets and sizes inside one block.
package struct BlockLayout: Equatable, Sendable {
    /// The payload is checksummed in chunks of whole rows, as many as fit in this (at least one):
    /// small enough that a chunk is still in the L1 cache when its rows are scored, and that a
    /// single row costs little more than itself.
    package static let targetChunkBytes = 8192
    package static let headerBytes = 128
    package static let statisticsBytesPerRow = 16

    package let rows: Int
    /// Bytes of one row in this slab, also the distance between rows.
    package let stride: Int
    package let hasStatistics: Bool
    package let rowsPerChunk: Int

    package init(rows: Int, stride: Int, hasStatistics: Bool) {
        self.rows = rows
        self.stride = stride
        self.hasStatistics = hasStatistics
        self.rowsPerChunk = max(1, Self.targetChunkBytes / max(1, stride))
    }

    package var statisticsOffset: Int { Self.headerBytes }
    package var payloadOffset: Int {
        Self.headerBytes + (hasStatistics ? rows * Self.statisticsBytesPerRow : 0)
    }
    package var payloadBytes: Int { rows * stride }
    package var checksumsOffset: Int { payloadOffset + payloadBytes }
    package var chunkCount: Int { (rows + rowsPerChunk - 1) / rowsPerChunk }
    package var byteCount: Int { checksumsOffset + chunkCount * 8 }

    /// The bytes of rows that follow each other, within the block.
    package func bytes(ofRows rows: Range<Int>) -> Range<Int> {
        payloadOffset + rows.lowerBound * stride..<payloadOffset + rows.upperBound * stride
    }

    /// The rows of chunk `chunk`, counted within the block.
    package func rows(ofChunk chunk: Int) -> Range<Int> {
        chunk * rowsPerChunk..<min(rows, (chunk + 1) * rowsPerChunk)
    }
}
