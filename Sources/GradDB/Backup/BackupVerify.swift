// Looks at backups: which there are, and whether every byte of them is what was written.

extension Backup {
    /// What there is, oldest first.
    ///
    /// - Throws: `.notFound`, `.corrupt`, `.locked`, `.io`.
    package static func list(_ path: String) throws -> [BackupListing] {
        let directory = try BackupDirectory(path: path)
        let lock = try directory.lockForReading()
        defer { withExtendedLifetime(lock) {} }
        return try directory.manifestNumbers().map { number in
            do {
                return BackupListing(
                    backup: number, manifest: .success(try BackupManifest(number, in: directory)))
            } catch let error as GradDBError where error.kind == .corrupt {
                return BackupListing(backup: number, manifest: .failure(error))
            }
        }
    }

    /// Reads all that the backups, or one of them, consist of.
    ///
    /// - Throws: `.notFound`, `.usage` for a backup that is not there, `.locked`, `.interrupted`,
    ///   `.io`; damage is in the report.
    package static func verify(
        _ path: String, backup: UInt64?, options: BackupOptions,
        cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (_ stage: String, _ share: Double) -> Void = { _, _ in }
    ) throws -> BackupReport {
        let directory = try BackupDirectory(path: path)
        let lock = try directory.lockForReading()
        defer { withExtendedLifetime(lock) {} }
        let limits = FileLimits(
            rate: RateLimit(bytesPerSecond: options.bytesPerSecond), cancellation: cancellation)
        let all = try directory.requireBackups()
        let numbers = try backup.map { [try directory.require($0)] } ?? all
        var report = BackupReport()
        report.backups = numbers.count
        var objects: [ObjectName: StoredObject] = [:]
        var damaged: [(object: StoredObject, message: String)] = []
        for number in numbers {
            try cancellation.check()
            var conflicts: [StoredObject] = []
            do {
                _ = try BackupManifest(number, in: directory) { object in
                    guard let other = objects[object.name] else {
                        objects[object.name] = object
                        return
                    }
                    if object.name.family == .blocks, other.checksum != object.checksum {
                        conflicts.append(object)
                    }
                }
            } catch let error as GradDBError where error.kind == .corrupt {
                report.problems.append(
                    .init(message: error.message, object: nil, backups: [number]))
                conflicts = []
            }
            damaged += conflicts.map {
                ($0, "object \($0.name) has two checksums in the manifests")
            }
        }
        report.objects = objects.count
        report.bytes = objects.values.reduce(0) { $0 + $1.bytes }
        damaged += try verify(
            objects.values.sorted { $0.name.description < $1.name.description },
            ObjectReader(directory: directory, limits: limits), total: report.bytes,
            threads: options.threads, progress)
        let dependants = try directory.dependants(
            of: Set(damaged.map(\.object.name)), in: all)
        report.problems += damaged.map {
            .init(
                message: $0.message, object: "\($0.object.name)",
                backups: dependants[$0.object.name] ?? [])
        }
        return report
    }

    private static func verify(
        _ objects: [StoredObject], _ reader: ObjectReader, total: UInt64, threads: Int,
        _ progress: @escaping @Sendable (_ stage: String, _ share: Double) -> Void
    ) throws -> [(object: StoredObject, message: String)] {
        let done = BytesDone()
        let problems = try Parallel.map(objects.count, threads: threads) { index -> String in
            defer {
                let bytes = done.add(objects[index].bytes)
                progress("verifying", Double(bytes) / Double(max(1, total)))
            }
            do {
                try reader.verify(objects[index])
            } catch let error as GradDBError where error.kind != .interrupted {
                // A disk that cannot read an object is found out about here, too.
                return error.message
            }
            return ""
        }
        return zip(objects, problems).filter { !$0.1.isEmpty }.map { ($0.0, $0.1) }
    }
}

extension BackupDirectory {
    /// - Throws: `.notFound`.
    func requireBackups() throws -> [UInt64] {
        let numbers = try manifestNumbers()
        guard !numbers.isEmpty else {
            throw GradDBError(
                .notFound, "there are no backups at \(path); `gradctl backup create` makes one")
        }
        return numbers
    }

    /// - Throws: `.usage`.
    func require(_ backup: UInt64) throws -> UInt64 {
        let numbers = try requireBackups()
        guard numbers.contains(backup) else {
            let known = numbers.suffix(12).map { "\($0)" }.joined(separator: ", ")
            throw GradDBError.usage(
                "\(path) has no backup \(backup); it has: "
                    + (numbers.count > 12 ? "…, " : "") + known)
        }
        return backup
    }

    /// Which backups have the objects in their manifests.
    fileprivate func dependants(
        of objects: Set<ObjectName>, in backups: [UInt64]
    ) throws -> [ObjectName: [UInt64]] {
        var found: [ObjectName: [UInt64]] = [:]
        guard !objects.isEmpty else { return found }
        for number in backups {
            var names: Set<ObjectName> = []
            do {
                _ = try BackupManifest(number, in: self) {
                    if objects.contains($0.name) { names.insert($0.name) }
                }
            } catch let error as GradDBError where error.kind == .corrupt {
                continue
            }
            for name in names { found[name, default: []].append(number) }
        }
        return found
    }
}
