// Puts objects into a backup directory, each once.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

final class ObjectStore: Sendable {
    let directory: BackupDirectory
    let limits: FileLimits
    private let isFull: Bool
    /// What the newest backup says of its objects.
    private let known: [ObjectName: StoredObject]
    private let state = Mutex(State())

    private struct State {
        /// Directories in `objects/` in which names are not durable yet.
        var touched: Set<String> = []
        var copiedObjects = 0
        var copiedBytes: UInt64 = 0
    }

    init(_ directory: BackupDirectory, options: BackupOptions, limits: FileLimits) throws {
        self.directory = directory
        self.limits = limits
        isFull = options.isFull
        var known: [ObjectName: StoredObject] = [:]
        // A manifest that cannot be read is no help, and no reason to make no more backups.
        for number in try directory.manifestNumbers().reversed() where known.isEmpty {
            var found: [ObjectName: StoredObject] = [:]
            guard
                (try? BackupManifest(number, in: directory, object: { found[$0.name] = $0 })) != nil
            else { continue }
            known = found
        }
        self.known = known
    }

    var copied: (objects: Int, bytes: UInt64) {
        state.withLock { ($0.copiedObjects, $0.copiedBytes) }
    }

    /// An object that is there and whole, as far as can be seen without reading it; nil where it has
    /// to be written. With `full`, it has been read.
    func find(_ name: ObjectName) throws -> StoredObject? {
        guard let bytes = try directory.fileBytes(of: name) else { return nil }
        var found: StoredObject
        if let known = known[name] {
            guard known.bytes == bytes else { return nil }
            found = known
        } else {
            // What an interrupted backup left, or what older ones have.
            do {
                guard
                    let file = try HashedFileReader(directory.path(of: name), limits: limits),
                    file.remaining >= UInt64(ObjectHeader.byteCount)
                else { return nil }
                try ObjectHeader.verify(try file.take(ObjectHeader.byteCount), is: name)
                let expected = ObjectHeader.fileBytes(ofContent: name.contentBytes)
                guard ObjectHeader.isCompressed(name.family) || bytes == expected else {
                    return nil
                }
                found = StoredObject(
                    name: name, bytes: bytes, checksum: try file.storedChecksum())
            } catch let error as GradDBError where error.kind == .corrupt {
                return nil
            }
        }
        if isFull {
            do {
                try ObjectReader(directory: directory, limits: limits).verify(found)
            } catch let error as GradDBError where error.kind == .corrupt {
                return nil
            }
        }
        // It may be there since a backup that was interrupted before its name was durable.
        touch(found)
        return found
    }

    /// Writes an object; `body` appends its content.
    func write(
        _ name: ObjectName, _ body: (HashedFileWriter) throws -> Void
    ) throws -> StoredObject {
        try DurableFiles.makeDirectory("\(directory.objectsPath)/\(name.directory)")
        let file = try HashedFileWriter(
            directory.path(of: name), writing: "\(directory.partialPath)/\(name)", limits: limits)
        try file.append(ObjectHeader.bytes(of: name))
        try body(file)
        let checksum = try file.finish()
        let stored = StoredObject(name: name, bytes: file.byteCount, checksum: checksum)
        touch(stored)
        state.withLock {
            $0.copiedObjects += 1
            $0.copiedBytes += stored.bytes
        }
        return stored
    }

    private func touch(_ object: StoredObject) {
        guard known[object.name] == nil || isFull else { return }
        _ = state.withLock { $0.touched.insert(object.name.directory) }
    }

    /// Makes the names of all objects durable.
    func sync() throws {
        for name in state.withLock({ $0.touched }).sorted() {
            try DurableFiles.syncDirectory("\(directory.objectsPath)/\(name)")
        }
        try DurableFiles.syncDirectory(directory.objectsPath)
    }
}
