// The first 128 bytes of a block, little-endian, as format-spec/block.md draws them:
//
//   0  magic "GDBK"        24 row group u32      48 stride u32 (bytes of one row here)
//   4  version u16         28 slab u32           52 rows per chunk u32
//   6  codec u16           32 rows u32           56 flags u32 (bit 0: row statistics follow)
//   8  table u32           36 dims u32 (here)    60 zero u32
//  12  encoding u32        40 first dim u64      64 smallest squared norm f64 (slab 0)
//  16  segment u64                               72 largest squared norm f64 (slab 0)
//  80  zeros                                    120 XXH3-64 of bytes 0 ..< 120 and the statistics

/// What a block says about itself. A block is used only after its header has been compared with
/// what the catalog says should be there.
package struct BlockHeader: Equatable, Sendable {
    package static let magic: UInt32 = 0x4B42_4447  // "GDBK" read little-endian
    package static let version: UInt16 = 1
    package static let checksumOffset = 120

    package var codec: UInt16
    package var key: BlockKey
    package var rows: UInt32
    package var dims: UInt32
    package var firstDim: UInt64
    package var stride: UInt32
    package var rowsPerChunk: UInt32
    package var hasStatistics: Bool
    package var minSquaredNorm: Double
    package var maxSquaredNorm: Double

    package init(
        codec: UInt16, key: BlockKey, dims: Int, firstDim: Int, layout: BlockLayout,
        squaredNorms: ClosedRange<Double>
    ) {
        self.codec = codec
        self.key = key
        self.rows = UInt32(layout.rows)
        self.dims = UInt32(dims)
        self.firstDim = UInt64(firstDim)
        self.stride = UInt32(layout.stride)
        self.rowsPerChunk = UInt32(layout.rowsPerChunk)
        self.hasStatistics = layout.hasStatistics
        self.minSquaredNorm = squaredNorms.lowerBound
        self.maxSquaredNorm = squaredNorms.upperBound
    }

    /// Writes the header over the first 128 bytes of a block whose statistics are in place.
    package func write(to block: UnsafeMutableRawBufferPointer, hash: ChecksumFunction) {
        for i in 0..<BlockLayout.headerBytes { block[i] = 0 }
        func put<T: FixedWidthInteger>(_ value: T, at offset: Int) {
            block.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        }
        put(Self.magic, at: 0)
        put(Self.version, at: 4)
        put(codec, at: 6)
        put(key.table, at: 8)
        put(key.encoding, at: 12)
        put(key.segment, at: 16)
        put(key.rowGroup, at: 24)
        put(key.slab, at: 28)
        put(rows, at: 32)
        put(dims, at: 36)
        put(firstDim, at: 40)
        put(stride, at: 48)
        put(rowsPerChunk, at: 52)
        put(UInt32(hasStatistics ? 1 : 0), at: 56)
        put(minSquaredNorm.bitPattern, at: 64)
        put(maxSquaredNorm.bitPattern, at: 72)
        let statisticsBytes =
            hasStatistics ? Int(rows) * BlockLayout.statisticsBytesPerRow : 0
        put(
            Self.checksum(UnsafeRawBufferPointer(block), statisticsBytes: statisticsBytes, hash),
            at: Self.checksumOffset)
    }

    /// Parses and verifies a header and the statistics after it; throws `.corrupt` on any doubt.
    package init(
        verifying block: UnsafeRawBufferPointer, at expected: BlockKey, hash: ChecksumFunction
    ) throws {
        func broken(_ why: String) -> GradDBError { .corrupt("\(expected) \(why)") }
        guard block.count >= BlockLayout.headerBytes else {
            throw broken("is only \(block.count) bytes long")
        }
        func get<T: FixedWidthInteger>(_ offset: Int, _: T.Type) -> T {
            T(littleEndian: block.loadUnaligned(fromByteOffset: offset, as: T.self))
        }
        guard get(0, UInt32.self) == Self.magic else { throw broken("has no block header") }
        let version = get(4, UInt16.self)
        rows = get(32, UInt32.self)
        hasStatistics = get(56, UInt32.self) & 1 == 1
        let statisticsBytes =
            hasStatistics ? Int(rows) * BlockLayout.statisticsBytesPerRow : 0
        guard BlockLayout.headerBytes + statisticsBytes <= block.count,
            Self.checksum(block, statisticsBytes: statisticsBytes, hash)
                == get(Self.checksumOffset, UInt64.self)
        else { throw broken("fails its header checksum") }
        // Only now is the version believed: a flipped bit is corruption, not a newer format.
        guard version <= Self.version else {
            throw GradDBError(
                .formatTooNew,
                "\(expected) has block version \(version); this program reads "
                    + "up to \(Self.version)")
        }
        codec = get(6, UInt16.self)
        key = BlockKey(
            table: get(8, UInt32.self), segment: get(16, UInt64.self),
            rowGroup: get(24, UInt32.self), encoding: get(12, UInt32.self),
            slab: get(28, UInt32.self))
        dims = get(36, UInt32.self)
        firstDim = get(40, UInt64.self)
        stride = get(48, UInt32.self)
        rowsPerChunk = get(52, UInt32.self)
        minSquaredNorm = Double(bitPattern: get(64, UInt64.self))
        maxSquaredNorm = Double(bitPattern: get(72, UInt64.self))
        guard key == expected else { throw broken("holds \(key)") }
    }

    private static func checksum(
        _ block: UnsafeRawBufferPointer, statisticsBytes: Int, _ hash: ChecksumFunction
    ) -> UInt64 {
        // Two separate regions: the header before its checksum field, and the statistics.
        let head = hash(UnsafeRawBufferPointer(rebasing: block[..<checksumOffset]))
        guard statisticsBytes > 0 else { return head }
        let start = BlockLayout.headerBytes
        let statistics = hash(
            UnsafeRawBufferPointer(rebasing: block[start..<start + statisticsBytes]))
        return head ^ ((statistics << 1) | (statistics >> 63))
    }
}

/// XXH3, 64 bits, seed 0.
package typealias ChecksumFunction = (UnsafeRawBufferPointer) -> UInt64
