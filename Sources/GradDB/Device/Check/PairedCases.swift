// Random inputs of kernels.

/// What random cases are made of.
enum PairedCases {
    /// Which rows count, a bit each; nil: all.
    static func mask(rows: Int, _ random: inout SeededNumbers) -> [UInt32]? {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: return nil
        case 1: return (0..<(rows + 31) / 32).map { _ in UInt32(truncatingIfNeeded: random.next()) }
        case 2:
            return (0..<(rows + 31) / 32).map { _ in
                UInt32(truncatingIfNeeded: random.next() & random.next() & random.next())
            }
        default:
            return (0..<(rows + 31) / 32).map { _ in
                UInt32(truncatingIfNeeded: random.next() | random.next() | random.next())
            }
        }
    }

    static func counts(_ mask: [UInt32]?, _ row: Int) -> Bool {
        mask.map { $0[row / 32] >> UInt32(row % 32) & 1 == 1 } ?? true
    }

    /// Elements of queries: integers (of six bits for bit, of eight for the others), or f32.
    static func queries(
        _ codec: CodecKind, count: Int, _ random: inout SeededNumbers
    ) -> [UInt8] {
        let bytes = UnsafeMutableRawBufferPointer.allocate(
            byteCount: codec.isFloat ? 4 * count : count, alignment: 8)
        defer { bytes.deallocate() }
        fill(bytes, codec.isFloat ? .f32 : .int8, &random)
        if codec == .bit {
            for i in bytes.indices { bytes[i] = UInt8(bitPattern: Int8(Int(bytes[i] & 63) - 32)) }
        }
        return Array(bytes)
    }

    /// Fills with stored elements: integers in the codec's range, and finite floats of many sizes.
    static func fill(
        _ bytes: UnsafeMutableRawBufferPointer, _ codec: CodecKind, _ random: inout SeededNumbers
    ) {
        switch codec {
        case .int4, .bit:
            for i in bytes.indices { bytes[i] = UInt8(truncatingIfNeeded: random.next()) }
        case .int8:
            for i in bytes.indices {
                bytes[i] = UInt8(bitPattern: Int8(Int(random.next() % 255) - 127))
            }
        case .f32:
            for i in 0..<bytes.count / 4 {
                // From 2^-64 to 2^64.
                let word = random.next()
                let exponent = UInt32(127 - 64) + UInt32(word >> 32 & 127)
                let bits = UInt32(truncatingIfNeeded: word) & 0x807F_FFFF | exponent << 23
                bytes.storeBytes(of: bits, toByteOffset: 4 * i, as: UInt32.self)
            }
        case .f16, .bf16:
            let exponent: UInt16 = codec == .f16 ? 0x7C00 : 0x7F80
            for i in 0..<bytes.count / 2 {
                var bits = UInt16(truncatingIfNeeded: random.next())
                if bits & exponent == exponent { bits &= ~exponent }
                bytes.storeBytes(of: bits, toByteOffset: 2 * i, as: UInt16.self)
            }
        }
    }
}
