// Reading the pieces that RocksDB's table files are made of, from bytes that nobody has verified:
// whatever they say, nothing outside of them is touched.

/// A cursor over a part of a table file.
struct TableBytes {
    private let bytes: UnsafeRawBufferPointer
    private(set) var offset: Int
    let end: Int

    /// - Parameter range: lies within `bytes`.
    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        self.bytes = bytes
        offset = range.lowerBound
        end = range.upperBound
    }

    var isAtEnd: Bool { offset == end }

    /// Where the next `count` bytes lie; nil when there are not so many.
    mutating func take(_ count: Int) -> Range<Int>? {
        guard count >= 0, count <= end - offset else { return nil }
        defer { offset += count }
        return offset..<offset + count
    }

    /// A number of seven bits a byte, the lowest first; nil when it does not end, or is no size.
    mutating func varint() -> Int? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end, shift < 63 {
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return Int(exactly: value) }
            shift += 7
        }
        return nil
    }
}

/// Where a block of a table file lies, without the five bytes behind it.
struct TablePlace: Equatable {
    static let trailerBytes = 5

    let range: Range<Int>

    /// - Parameter limit: where the part of the file ends that blocks may lie in.
    init?(_ cursor: inout TableBytes, limit: Int) {
        guard let offset = cursor.varint(), let size = cursor.varint(), offset <= limit,
            size <= limit - offset - Self.trailerBytes
        else { return nil }
        range = offset..<offset + size
    }
}

/// The part of a block that holds its entries, and the list of restarts behind it: entries whose
/// key is written out.
struct TableEntries {
    let range: Range<Int>
    let restartCount: Int

    /// Nil where there is no list of restarts, or another kind of block.
    init?(_ bytes: UnsafeRawBufferPointer, _ block: Range<Int>) {
        guard block.count >= 8 else { return nil }
        // The highest bit says that there is a hash index too.
        let count = Int(Self.number(bytes, block.upperBound - 4))
        guard count >= 1, count <= (block.count - 4) / 4 else { return nil }
        restartCount = count
        range = block.lowerBound..<block.upperBound - 4 - 4 * count
        guard Self.number(bytes, range.upperBound) == 0 else { return nil }
    }

    /// Where in the file an entry begins that shares nothing with the one before; nil when it lies
    /// outside of the block.
    func restart(_ index: Int, _ bytes: UnsafeRawBufferPointer) -> Int? {
        let offset = Int(Self.number(bytes, range.upperBound + 4 * index))
        return offset < range.count ? range.lowerBound + offset : nil
    }

    private static func number(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }
}
