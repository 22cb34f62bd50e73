// Removes the oldest backups, and then the objects that no backup needs. Killed anywhere, it leaves
// each backup whole or without a manifest.

#if canImport(Glibc)
    import Glibc
#endif

extension Backup {
    /// - Parameter keep: how many backups stay, the newest ones.
    /// - Throws: `.usage`, `.notFound`, `.locked`, `.corrupt` for a damaged manifest, before anything
    ///   is removed; `.io`.
    package static func prune(
        _ path: String, keepingLast keep: Int, isDryRun: Bool,
        cancellation: Cancellation = Cancellation()
    ) throws -> BackupPruneResult {
        let started = ContinuousClock.now
        guard keep >= 1 else {
            throw GradDBError.usage("--keep-last takes a number from 1 on, not \(keep)")
        }
        let directory = try BackupDirectory(path: path)
        let writerLock = try BackupDirectory.lockForWriting(path)
        let readerLock = try directory.lockOutReaders()
        defer { withExtendedLifetime((writerLock, readerLock)) {} }
        let numbers = try directory.requireBackups()
        let removed = Array(numbers.dropLast(keep))
        var needed: Set<ObjectName> = []
        for number in numbers.suffix(keep) {
            try cancellation.check()
            // Without it nobody knows what it needs.
            _ = try BackupManifest(number, in: directory) { needed.insert($0.name) }
        }
        try cancellation.check()
        // From here on what was begun is finished: each half of it is safe, and the rest would wait
        // for the next prune.
        if !isDryRun {
            for number in removed { try remove(directory.manifestPath(number)) }
            // Also for manifests that are gone already: whoever removed them may have been stopped
            // before this, and their objects go now.
            try DurableFiles.syncDirectory(directory.manifestsPath)
        }
        var objects = 0
        var bytes: UInt64 = 0
        try directory.forEachObject { name in
            guard !needed.contains(name) else { return }
            objects += 1
            bytes += try directory.fileBytes(of: name) ?? 0
            if !isDryRun { try remove(directory.path(of: name)) }
        }
        return BackupPruneResult(
            removed: removed, left: numbers.count - removed.count, objects: objects, bytes: bytes,
            seconds: (ContinuousClock.now - started).seconds)
    }

    private static func remove(_ file: String) throws {
        guard unlink(file) == 0 || errno == ENOENT else {
            throw DurableFiles.failure("remove", file)
        }
    }
}
