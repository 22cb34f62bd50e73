// The bytes of an object of a backup directory:
//
//   +------------------+----------------------------+--------------+
//   | header, 16 bytes | content, zstd or as it is  | checksum u64 |
//   +------------------+----------------------------+--------------+

enum ObjectHeader {
    static let byteCount = 16
    static let trailerBytes = 8
    static let version: UInt16 = 1
    /// "GDBO"
    private static let magic: [UInt8] = [0x47, 0x44, 0x42, 0x4F]
    /// No entry of blocks is larger, and no content of another family: what a reader holds in
    /// memory.
    static let largestContentBytes = 256 << 20

    /// Blocks are stored as they are: they do not get smaller.
    static func isCompressed(_ family: ObjectName.Family) -> Bool { family != .blocks }

    static func bytes(of name: ObjectName) -> [UInt8] {
        var bytes = magic
        bytes.append(littleEndian: version)
        bytes.append(name.family.rawValue)
        bytes.append(isCompressed(name.family) ? 1 : 0)
        bytes.append(littleEndian: name.contentBytes)
        return bytes
    }

    /// - Throws: `.corrupt`, `.formatTooNew`.
    static func verify(_ bytes: some Collection<UInt8>, is name: ObjectName) throws {
        guard !bytes.elementsEqual(Self.bytes(of: name)) else { return }
        let version = bytes.dropFirst(4).prefix(2).reversed().reduce(0) { $0 << 8 | UInt16($1) }
        guard bytes.prefix(4).elementsEqual(magic), version > Self.version else {
            throw GradDBError.corrupt("object \(name) has another header")
        }
        throw GradDBError(
            .formatTooNew, "object \(name) has version \(version): use a newer gradctl")
    }

    /// Bytes of the file of an object that is not compressed.
    static func fileBytes(ofContent bytes: UInt64) -> UInt64 {
        bytes &+ UInt64(byteCount + trailerBytes)
    }
}
