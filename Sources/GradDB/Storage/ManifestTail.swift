// The last record of RocksDB's manifest, for the one case in which RocksDB leaves one there that it
// must not: see `RocksStore.ingest`. The manifest is a log (RocksDB's format): 32 KiB blocks of
// records, each with a header of checksum u32, length u16, type u8; none begins in the last six
// bytes of a block.

#if canImport(Glibc)
    import Glibc
#endif

enum ManifestTail {
    private static let blockBytes = 32 << 10
    private static let headerBytes = 7

    /// Cuts the last record away.
    static func cut(of database: String) throws {
        guard let current = try DurableFiles.read(database + "/CURRENT") else { return }
        let name = String(decoding: current, as: UTF8.self).filter { !$0.isNewline }
        let path = database + "/" + name
        guard let bytes = try DurableFiles.read(path), let start = lastRecord(in: bytes) else {
            return
        }
        let file = open(path, O_WRONLY | O_CLOEXEC)
        guard file >= 0 else { throw DurableFiles.failure("open", path) }
        defer { close(file) }
        guard ftruncate(file, off_t(start)) == 0 else { throw DurableFiles.failure("cut", path) }
        guard fsync(file) == 0 else { throw DurableFiles.failure("sync", path) }
    }

    /// Where it begins: a record is one part (type 1), or a first one (2) and those that follow.
    private static func lastRecord(in bytes: [UInt8]) -> Int? {
        var last: Int?
        var offset = 0
        while true {
            let left = blockBytes - offset % blockBytes
            if left < headerBytes { offset += left }
            guard offset + headerBytes <= bytes.count else { return last }
            let length = Int(bytes[offset + 4]) | Int(bytes[offset + 5]) << 8
            let type = bytes[offset + 6]
            if type == 1 || type == 2 { last = offset }
            guard (1...4).contains(type) else { return last }
            offset += headerBytes + length
        }
    }
}
