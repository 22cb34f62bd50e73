// RocksDB's C interface takes `char *`, and lists of them.

extension [UInt8] {
    /// The bytes as C's characters; the pointer is valid within `body` only.
    func withCharacters<R>(_ body: (UnsafePointer<CChar>?) throws -> R) rethrows -> R {
        try withUnsafeBytes { try body($0.baseAddress?.assumingMemoryBound(to: CChar.self)) }
    }
}

/// Calls `body` with an array of C strings.
func withCStrings<R>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) throws -> R
) rethrows -> R {
    // One buffer for all: every string with its terminating zero.
    var characters: [CChar] = []
    var offsets: [Int] = []
    for string in strings {
        offsets.append(characters.count)
        characters.append(contentsOf: string.utf8CString)
    }
    return try characters.withUnsafeBufferPointer { buffer in
        let pointers: [UnsafePointer<CChar>?] = offsets.map { offset in
            buffer.baseAddress.map { $0 + offset }
        }
        return try pointers.withUnsafeBufferPointer { list in
            guard let start = list.baseAddress else { preconditionFailure("no strings") }
            return try body(start)
        }
    }
}
