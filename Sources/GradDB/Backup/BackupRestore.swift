// Makes the database of a backup at another place: aside, every byte verified, then renamed. A
// restore that is killed leaves nothing at that place.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

extension Backup {
    /// - Parameter backup: nil for the newest.
    /// - Throws: `.notFound`, `.usage` for a backup that is not there, `.failed` where something is
    ///   at `target`, `.locked`, `.corrupt`, `.formatTooNew`, `.interrupted`, `.io`.
    package static func restore(
        _ path: String, backup: UInt64?, into target: String, options: BackupOptions,
        cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (_ stage: String, _ share: Double) -> Void = { _, _ in }
    ) throws -> BackupRestoreResult {
        let started = ContinuousClock.now
        let directory = try BackupDirectory(path: path)
        let lock = try directory.lockForReading()
        defer { withExtendedLifetime(lock) {} }
        let numbers = try directory.requireBackups()
        let number = try backup.map { try directory.require($0) } ?? numbers[numbers.count - 1]
        var objects: [StoredObject] = []
        let manifest = try BackupManifest(number, in: directory) { objects.append($0) }
        try manifest.head.requireReadable()
        let reader = ObjectReader(
            directory: directory,
            limits: FileLimits(
                rate: RateLimit(bytesPerSecond: options.bytesPerSecond), cancellation: cancellation)
        )
        let place = try DatabasePlace(target)
        try place.fill { aside in
            let rebuild = try DatabaseRebuild(path: aside)
            var done: UInt64 = 0
            for object in objects {
                try cancellation.check()
                let family = object.name.family.column
                try reader.forEachEntry(of: object) { try rebuild.append(family, $0, $1) }
                done += object.bytes
                progress("restoring", Double(done) / Double(max(1, manifest.summary.bytes)))
            }
            try cancellation.check()
            try rebuild.finish()
        } verify: { aside in
            let database = try Database(path: aside)
            for name in try database.tableNames() { _ = try database.table(name).newest }
            try cancellation.check()
        }
        return BackupRestoreResult(
            manifest: manifest, seconds: (ContinuousClock.now - started).seconds)
    }
}

extension BackupManifest.Head {
    /// - Throws: `.formatTooNew` where the database in the backup is.
    fileprivate func requireReadable() throws {
        let unknown = Set(readerFeatures).union(writerFeatures)
            .subtracting(DatabaseDocument.knownReaderFeatures)
            .subtracting(DatabaseDocument.knownWriterFeatures)
        guard databaseVersion <= DatabaseDocument.currentVersion, unknown.isEmpty else {
            throw GradDBError(
                .formatTooNew,
                "backup \(backup) is of a database of a newer format: use a newer gradctl")
        }
    }
}

/// Where a database is to be, and is not yet.
private struct DatabasePlace {
    let path: String
    private var aside: String { path + ".restoring" }
    private static let lockName = "restore.lock"

    /// - Throws: `.failed` where something is there already.
    init(_ requested: String) throws {
        var path = requested
        while path.count > 1, path.last == "/" { path.removeLast() }
        self.path = path
        try requireFree()
    }

    private func requireFree() throws {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            guard errno == ENOENT else { throw DurableFiles.failure("restore into", path) }
            return
        }
        let isEmpty = (try? FileManager.default.contentsOfDirectory(atPath: path))?.isEmpty ?? false
        guard status.st_mode & S_IFMT == S_IFDIR, isEmpty else {
            throw GradDBError(
                .failed, "\(path) is there already; restore into a new or empty directory")
        }
    }

    /// Fills a directory aside with `make`, looks at it with `verify`, and puts it in its place. If
    /// anything fails, nothing is left.
    func fill(_ make: (String) throws -> Void, verify: (String) throws -> Void) throws {
        let lock = try lockAside()
        defer { withExtendedLifetime(lock) {} }
        do {
            // Whoever had the lock before may have put a database there.
            try requireFree()
            for name in StagedDirectory.names(in: aside) where name != Self.lockName {
                try? FileManager.default.removeItem(atPath: "\(aside)/\(name)")
            }
            try make(aside)
            try verify(aside)
            try? FileManager.default.removeItem(atPath: aside + "/staging")
            try DurableFiles.syncDirectory(aside)
            guard rename(aside, path) == 0 else {
                throw DurableFiles.failure("put the restored database at", path)
            }
        } catch {
            try? FileManager.default.removeItem(atPath: aside)
            throw error
        }
        // Not before: who finds the directory without its lock may take it for one that was left.
        unlink("\(path)/\(Self.lockName)")
        try DurableFiles.syncName(of: path)
    }

    private func lockAside() throws -> FileLock {
        try DurableFiles.makeDirectories(aside)
        do {
            let name = "\(aside)/\(Self.lockName)"
            if let lock = try FileLock(name, .exclusive), lock.isOf(name) { return lock }
        } catch {
            // The directory may have got its name since.
            try requireFree()
            throw error
        }
        throw GradDBError(
            .locked, "another process is restoring into \(path): wait until it has finished")
    }
}
