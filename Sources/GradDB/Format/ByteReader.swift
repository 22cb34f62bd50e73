// Bounds-checked little-endian reading and writing: the only way that stored values are parsed.
// Reading past the end throws; it never traps, whatever the bytes say.

/// A cursor over bytes that came from disk.
package struct ByteReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var offset = 0
    /// What the bytes are, for the error message.
    private let what: String

    package init(_ bytes: UnsafeRawBufferPointer, what: String) {
        self.bytes = bytes
        self.what = what
    }

    package var remaining: Int { bytes.count - offset }

    package mutating func take(_ count: Int) throws -> UnsafeRawBufferPointer {
        guard count >= 0, count <= remaining else {
            throw GradDBError.corrupt(
                "\(what) ends after \(bytes.count) bytes, \(count) more were expected at \(offset)")
        }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
    }

    package mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) throws -> T {
        T(littleEndian: try take(MemoryLayout<T>.size).loadUnaligned(as: T.self))
    }

    package mutating func array<T: FixedWidthInteger>(of type: T.Type, count: Int) throws -> [T] {
        let (size, overflow) = count.multipliedReportingOverflow(by: MemoryLayout<T>.size)
        guard !overflow, count >= 0 else {
            throw GradDBError.corrupt("\(what) claims \(count) values")
        }
        let source = try take(size)
        return [T](unsafeUninitializedCapacity: count) { target, initialized in
            UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
            #if _endian(big)
                for i in 0..<count { target[i] = T(littleEndian: target[i]) }
            #endif
            initialized = count
        }
    }

    package mutating func string(byteCount: Int) throws -> String {
        let source = try take(byteCount)
        guard let text = String(validating: source, as: UTF8.self) else {
            throw GradDBError.corrupt("\(what) holds text that is not UTF-8")
        }
        return text
    }

    package func expectEnd() throws {
        guard remaining == 0 else {
            throw GradDBError.corrupt("\(what) has \(remaining) bytes too many")
        }
    }
}

extension [UInt8] {
    package mutating func append<T: FixedWidthInteger>(littleEndian value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    package mutating func append<T: FixedWidthInteger>(bigEndian value: T) {
        Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
    }

    package mutating func append<T: FixedWidthInteger>(littleEndianArray values: [T]) {
        #if _endian(little)
            values.withUnsafeBytes { append(contentsOf: $0) }
        #else
            for value in values { append(littleEndian: value) }
        #endif
    }

    /// One bit per element, least significant first.
    package mutating func append(bitmap: [Bool]) {
        var index = 0
        while index < bitmap.count {
            var byte: UInt8 = 0
            for bit in 0..<Swift.min(8, bitmap.count - index) where bitmap[index + bit] {
                byte |= 1 << UInt8(bit)
            }
            append(byte)
            index += 8
        }
    }
}

extension ByteReader {
    package mutating func bitmap(count: Int) throws -> [Bool] {
        guard count >= 0 else { throw GradDBError.corrupt("\(what) claims \(count) values") }
        let bytes = try take((count + 7) / 8)
        return (0..<count).map { bytes[$0 / 8] & (1 << UInt8($0 % 8)) != 0 }
    }
}
