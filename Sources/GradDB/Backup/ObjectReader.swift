// Reads objects back, and believes nothing of them that is not verified.

struct ObjectReader: Sendable {
    let directory: BackupDirectory
    let limits: FileLimits

    /// Verifies every byte of an object, and that its content is what its name says.
    ///
    /// - Throws: `.corrupt`, `.formatTooNew`, `.io`.
    func verify(_ object: StoredObject) throws { try forEachEntry(of: object) { _, _ in } }

    /// Calls `body` with each entry of an object. Entries of `blocks` are handed over before the
    /// end of the file has been seen: they may be believed when this returns.
    ///
    /// - Throws: `.corrupt`, `.formatTooNew`, `.io`, what `body` throws.
    func forEachEntry(
        of object: StoredObject,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let name = object.name
        guard let file = try HashedFileReader(directory.path(of: name), limits: limits) else {
            throw GradDBError.corrupt("object \(name) is missing")
        }
        // What is compressed may have been written anew by another version of zstd: its name says
        // what it has to hold.
        guard ObjectHeader.isCompressed(name.family) || file.byteCount == object.bytes else {
            throw GradDBError.corrupt(
                "object \(name) has \(file.byteCount) bytes, and had \(object.bytes)")
        }
        guard file.remaining >= UInt64(ObjectHeader.byteCount) else {
            throw GradDBError.corrupt("object \(name) has another header")
        }
        let header = try file.take(ObjectHeader.byteCount)
        do {
            try ObjectHeader.verify(header, is: name)
            if ObjectHeader.isCompressed(name.family) {
                try forEachRecord(in: file, object, body)
            } else {
                try forEachBlock(in: file, object, body)
            }
        } catch let error as GradDBError where error.kind == .formatTooNew {
            // What is damaged may say anything.
            _ = try file.finish()
            throw error
        }
    }

    private func forEachRecord(
        in file: HashedFileReader, _ object: StoredObject,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let name = object.name
        let limit = ObjectHeader.largestContentBytes
        guard name.contentBytes <= UInt64(limit), file.remaining <= UInt64(limit) * 2 else {
            throw GradDBError.corrupt("object \(name) claims to be larger than any")
        }
        let stored = try file.take(Int(file.remaining))
        _ = try file.finish()
        let content = try stored.withUnsafeBytes {
            try Zstd.decompress($0, what: "object \(name)", limit: Int(name.contentBytes))
        }
        let kernels = try KernelSet.chosen()
        try content.withUnsafeBytes { content in
            guard UInt64(content.count) == name.contentBytes, kernels.hash(content) == name.seal
            else { throw GradDBError.corrupt("object \(name) has another content") }
            try EntryBytes.forEach(in: content, what: "object \(name)", body)
        }
    }

    private func forEachBlock(
        in file: HashedFileReader, _ object: StoredObject,
        _ body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let name = object.name
        guard file.remaining == name.contentBytes else {
            throw GradDBError.corrupt("object \(name) has \(file.remaining) bytes of content")
        }
        var entry: [UInt8] = []
        while file.remaining > 0 {
            let head = try file.take(EntryBytes.headBytes)
            let (keyBytes, valueBytes) = head.withUnsafeBytes {
                (
                    Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self))),
                    Int(UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
                )
            }
            let count = keyBytes + valueBytes
            guard keyBytes == BlockKey.byteCount, count <= ObjectHeader.largestContentBytes,
                UInt64(count) <= file.remaining
            else { throw GradDBError.corrupt("object \(name) is malformed") }
            if entry.count < count { entry = [UInt8](repeating: 0, count: count) }
            try entry.withUnsafeMutableBytes { entry in
                let bytes = UnsafeMutableRawBufferPointer(rebasing: entry[..<count])
                try file.take(into: bytes)
                try body(
                    UnsafeRawBufferPointer(rebasing: bytes[..<keyBytes]),
                    UnsafeRawBufferPointer(rebasing: bytes[keyBytes...]))
            }
        }
        guard try file.finish() == object.checksum else {
            throw GradDBError.corrupt("object \(name) is not the one that was backed up")
        }
    }
}
