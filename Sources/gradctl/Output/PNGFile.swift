// The bytes of a PNG file: chunks with their checksums, and pixels compressed by deflate (RFC 1950,
// RFC 1951) with its fixed codes. Pictures of rectangles repeat the pixel, or the line, before: only
// these are looked for.

enum PNGFile {
    static func bytes(_ canvas: PixelCanvas) -> [UInt8] {
        var header = bigEndian(UInt32(canvas.width)) + bigEndian(UInt32(canvas.height))
        // 8 bits, palette, deflate, no filter, no interlacing.
        header += [8, 3, 0, 0, 0]
        var lines: [UInt8] = []
        lines.reserveCapacity((canvas.width + 1) * canvas.height)
        for y in 0..<canvas.height {
            lines.append(0)
            lines += canvas.pixels[y * canvas.width..<(y + 1) * canvas.width]
        }
        let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
        return signature + chunk("IHDR", header)
            + chunk("PLTE", canvas.colours.flatMap { [$0.red, $0.green, $0.blue] })
            + chunk("IDAT", zlib(lines, stride: canvas.width + 1)) + chunk("IEND", [])
    }

    private static func bigEndian(_ value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
    }

    private static func chunk(_ type: String, _ data: [UInt8]) -> [UInt8] {
        let body = Array(type.utf8) + data
        return bigEndian(UInt32(data.count)) + body + bigEndian(crc32(body))
    }

    static func crc32(_ bytes: [UInt8]) -> UInt32 {
        ~bytes.reduce(~0) { crcTable[Int(UInt8(truncatingIfNeeded: $0) ^ $1)] ^ $0 >> 8 }
    }

    private static let crcTable: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { crc, _ in
            crc & 1 == 1 ? 0xEDB8_8320 ^ crc >> 1 : crc >> 1
        }
    }

    static func adler32(_ bytes: [UInt8]) -> UInt32 {
        var (a, b) = (UInt32(1), UInt32(0))
        for byte in bytes {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return b << 16 | a
    }

    private static func zlib(_ bytes: [UInt8], stride: Int) -> [UInt8] {
        [0x78, 0x01] + deflated(bytes, stride: stride) + bigEndian(adler32(bytes))
    }

    // MARK: deflate

    private static let longestMatch = 258
    private static let farthestMatch = 32_768

    private static func deflated(_ bytes: [UInt8], stride: Int) -> [UInt8] {
        var bits = BitWriter()
        // One block, the last, of fixed codes.
        bits.write(1, 1)
        bits.write(1, 2)
        let distances = [1, stride].filter { $0 <= farthestMatch }
        var position = 0
        while position < bytes.count {
            var best = (length: 0, distance: 0)
            for distance in distances where distance <= position {
                let length = match(bytes, position, distance)
                if length > best.length { best = (length, distance) }
            }
            if best.length >= 3 {
                bits.write(length: best.length, distance: best.distance)
                position += best.length
            } else {
                bits.write(symbol: Int(bytes[position]))
                position += 1
            }
        }
        bits.write(symbol: 256)
        return bits.finished()
    }

    private static func match(_ bytes: [UInt8], _ position: Int, _ distance: Int) -> Int {
        let most = min(longestMatch, bytes.count - position)
        var length = 0
        while length < most, bytes[position + length] == bytes[position + length - distance] {
            length += 1
        }
        return length
    }
}

/// Bits of a deflate stream, the lowest of each byte first.
private struct BitWriter {
    private var bytes: [UInt8] = []
    private var pending: UInt64 = 0
    private var count = 0

    private static let lengths = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
        131,
        163, 195, 227, 258,
    ]

    mutating func write(_ value: Int, _ width: Int) {
        pending |= UInt64(value) << UInt64(count)
        count += width
        while count >= 8 {
            bytes.append(UInt8(truncatingIfNeeded: pending))
            pending >>= 8
            count -= 8
        }
    }

    /// Codes begin with their highest bit.
    private mutating func write(code: Int, _ width: Int) {
        let reversed = (0..<width).reduce(0) { $0 | (code >> $1 & 1) << (width - 1 - $1) }
        write(reversed, width)
    }

    /// A literal, an end, or the kind of a length, in the fixed code.
    mutating func write(symbol: Int) {
        switch symbol {
        case 0...143: write(code: 0x30 + symbol, 8)
        case 144...255: write(code: 0x190 + symbol - 144, 9)
        case 256...279: write(code: symbol - 256, 7)
        default: write(code: 0xC0 + symbol - 280, 8)
        }
    }

    mutating func write(length: Int, distance: Int) {
        let index = Self.lengths.lastIndex { $0 <= length } ?? 0
        write(symbol: 257 + index)
        // The last kind is one length.
        let lengthBits = index < 8 || index == 28 ? 0 : index / 4 - 1
        write(length - Self.lengths[index], lengthBits)
        // Distances from 1: two kinds for each power of two.
        let last = distance - 1
        let power = last < 4 ? 0 : Int.bitWidth - 2 - last.leadingZeroBitCount
        let kind = last < 4 ? last : 2 * power + last >> power
        write(code: kind, 5)
        write(last & (1 << power - 1), power)
    }

    func finished() -> [UInt8] { count > 0 ? bytes + [UInt8(truncatingIfNeeded: pending)] : bytes }
}
