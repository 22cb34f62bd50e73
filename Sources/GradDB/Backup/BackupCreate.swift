// Makes a backup of what is committed, beside whatever a writer does:
//
//   lock DIR -> open the database as a reader -> records, cut into objects -> pieces of segments
//     -> names durable -> manifest
//
// Objects that are there already are not written again. If anything fails, the objects that were
// written stay: the next backup finds them.

package enum Backup {
    /// Makes a backup of the database at `path` in the directory.
    ///
    /// - Parameter progress: called from any thread with what is being done and how much of it is.
    /// - Throws: `.notFound`, `.locked`, `.failed` for a directory of something else, `.corrupt`
    ///   where stored bytes are damaged, `.interrupted`, `.io`.
    package static func create(
        of path: String, in directoryPath: String, options: BackupOptions,
        cancellation: Cancellation = Cancellation(),
        progress: @escaping @Sendable (_ stage: String, _ share: Double) -> Void = { _, _ in }
    ) throws -> BackupResult {
        let started = ContinuousClock.now
        try Database.requireDatabase(path)
        let document = try Database(path: path).document()
        let (directory, lock) = try BackupDirectory.prepare(
            directoryPath, database: document.created)
        defer { withExtendedLifetime(lock) {} }
        // Opened under the lock, so that a later backup never has less than an earlier one.
        let database = try Database(path: path)
        let limits = FileLimits(
            rate: RateLimit(bytesPerSecond: options.bytesPerSecond), cancellation: cancellation)
        let creation = BackupCreation(
            store: database.store,
            tables: try database.tableNames().map { try database.table($0) },
            objects: try ObjectStore(directory, options: options, limits: limits),
            threads: options.threads, kernels: try KernelSet.chosen(), progress: progress)
        let time = Timestamp.now()
        let objects = try creation.run()
        let copied = creation.objects.copied
        let head = BackupManifest.Head(
            backup: (try directory.manifestNumbers().last ?? 0) + 1, time: time,
            database: document.created, source: path, databaseVersion: document.formatVersion,
            readerFeatures: document.readerFeatures, writerFeatures: document.writerFeatures,
            tables: creation.tables.map {
                .init(table: $0.name, snapshot: $0.newestSnapshot, rows: $0.rowCount)
            })
        let summary = BackupManifest.Summary(
            objects: objects.count, bytes: objects.reduce(0) { $0 + $1.bytes },
            copiedObjects: copied.objects, copiedBytes: copied.bytes,
            seconds: (ContinuousClock.now - started).seconds)
        try BackupManifest.write(head, objects, summary, in: directory, limits: limits)
        return BackupResult(manifest: head, summary: summary)
    }
}

private struct BackupCreation {
    let store: RocksStore
    let tables: [Table]
    let objects: ObjectStore
    let threads: Int
    let kernels: KernelSet
    let progress: @Sendable (_ stage: String, _ share: Double) -> Void

    /// All objects of the backup, in the order of the manifest; they are durable.
    func run() throws -> [StoredObject] {
        var all: [StoredObject] = []
        for family in [ObjectName.Family.catalog, .rows, .fields] {
            all += try records(family)
        }
        all += try blocks()
        try objects.sync()
        return all
    }

    // MARK: records

    /// So much content is in memory before it is compressed and written, by several threads.
    private static let batchBytes = 16 << 20

    private func records(_ family: ObjectName.Family) throws -> [StoredObject] {
        let stage = "reading \(family.column.rawValue)"
        progress(stage, 0)
        var stored: [StoredObject] = []
        var batch: [[UInt8]] = []
        var batchBytes = 0
        var chunk: [UInt8] = []
        var cutter = ChunkCutter()
        func flush() throws {
            let contents = batch
            stored += try Parallel.map(contents.count, threads: max(threads, 4)) {
                try write(contents[$0], family)
            }
            batch.removeAll()
            batchBytes = 0
        }
        func cut() throws {
            guard !chunk.isEmpty else { return }
            cutter.cut()
            batchBytes += chunk.count
            batch.append(chunk)
            chunk.removeAll(keepingCapacity: true)
            if batchBytes >= Self.batchBytes { try flush() }
        }
        try CommittedRecords(tables, in: store).forEach(family.column) { key, value in
            try objects.limits.cancellation.check()
            let entryBytes = EntryBytes.headBytes + key.count + value.count
            guard entryBytes <= ObjectHeader.largestContentBytes / 2 else {
                throw GradDBError(
                    .failed,
                    "a value of \(value.count) bytes in '\(family.column.rawValue)' is too large "
                        + "for a backup")
            }
            if cutter.endsBefore(entryBytes: entryBytes) { try cut() }
            EntryBytes.append(key, value, to: &chunk)
            if cutter.endsAfter(entryBytes: entryBytes, keyHash: kernels.hash(key)) { try cut() }
        }
        try cut()
        try flush()
        return stored
    }

    private func write(
        _ content: [UInt8], _ family: ObjectName.Family
    ) throws -> StoredObject {
        let name = ObjectName(
            seal: content.withUnsafeBytes { kernels.hash($0) }, contentBytes: UInt64(content.count),
            family: family)
        if let found = try objects.find(name) { return found }
        let compressed = try Zstd.compress(content)
        return try objects.write(name) { try $0.append(compressed) }
    }

    // MARK: blocks

    private func blocks() throws -> [StoredObject] {
        let pieces = try tables.sorted { $0.document.table < $1.document.table }
            .flatMap { try SegmentPiece.all(of: $0, kernels: kernels) }
        let total = max(1, pieces.reduce(0) { $0 + $1.contentBytes })
        let done = BytesDone()
        progress("copying blocks", 0)
        return try Parallel.map(pieces.count, threads: threads) { index in
            let piece = pieces[index]
            try objects.limits.cancellation.check()
            let name = ObjectName(
                seal: try piece.seal(in: store, kernels: kernels), contentBytes: piece.contentBytes,
                family: .blocks)
            let stored = try objects.find(name) ?? write(piece, name)
            progress("copying blocks", Double(done.add(piece.contentBytes)) / Double(total))
            return stored
        }
    }

    private func write(_ piece: SegmentPiece, _ name: ObjectName) throws -> StoredObject {
        try objects.write(name) { file in
            try piece.forEachVerifiedBlock(in: store, kernels: kernels) { key, value in
                let keyBytes = key.bytes
                try file.append(
                    EntryBytes.head(keyBytes: keyBytes.count, valueBytes: value.count) + keyBytes)
                try file.append(value)
            }
        }
    }
}

extension Database {
    /// What the directory is.
    func document() throws -> DatabaseDocument {
        let key = Catalog.Key.database
        guard let document = try catalog.document(key, as: DatabaseDocument.self) else {
            throw GradDBError.corrupt("the catalog has lost the document '\(key)'")
        }
        return document
    }
}
