// Keys and values as backups and archives have them, one after the other:
//
//   key length u32 · value length u32 · key · value

enum EntryBytes {
    static let headBytes = 8

    static func head(keyBytes: Int, valueBytes: Int) -> [UInt8] {
        var head: [UInt8] = []
        head.append(littleEndian: UInt32(truncatingIfNeeded: keyBytes))
        head.append(littleEndian: UInt32(truncatingIfNeeded: valueBytes))
        return head
    }

    static func append(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, to bytes: inout [UInt8]
    ) {
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: key.count))
        bytes.append(littleEndian: UInt32(truncatingIfNeeded: value.count))
        bytes.append(contentsOf: key)
        bytes.append(contentsOf: value)
    }

    /// Calls `body` with each entry of a content that is in memory.
    static func forEach(
        in content: UnsafeRawBufferPointer, what: String,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var reader = ByteReader(content, what: what)
        while reader.remaining > 0 {
            let keyBytes = Int(try reader.integer(UInt32.self))
            let valueBytes = Int(try reader.integer(UInt32.self))
            let key = try reader.take(keyBytes)
            try body(key, try reader.take(valueBytes))
        }
    }
}
