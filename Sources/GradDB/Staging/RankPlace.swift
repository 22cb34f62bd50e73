// Finding a rank's place: the staged ingest is joined where there is one, else begun, and the rank
// locked. Whoever joins takes the shared lock first and looks into the database after that: while
// it holds the lock, nobody can commit or abandon what it has found.

#if canImport(Glibc)
    import Glibc
#endif

final class RankPlace {
    let directory: StagedDirectory
    let rank: RankDirectory
    /// The newest state of the table when the rank was opened.
    let view: TableView
    /// Both nil once released.
    private var ingestLock: FileLock?
    private var rankLock: FileLock?

    /// How long to wait for the database's lock, or for a commit that is under way.
    private static let patience = Duration.seconds(60)

    init(
        database path: String, table name: String, options: StagedOptions, kernels: KernelSet,
        cancellation: Cancellation
    ) throws {
        let deadline = ContinuousClock.now + Self.patience
        var pause: useconds_t = 10_000
        while true {
            try cancellation.check()
            let joined = try Self.join(path, table: name, options, kernels)
            if let joined {
                (directory, ingestLock, view) = joined
                break
            }
            do {
                try Self.begin(path, table: name, options, kernels)
            } catch let error as GradDBError
                where error.kind == .locked && ContinuousClock.now < deadline
            {
                usleep(pause)
                pause = min(pause * 2, 250_000)
            }
        }
        rank = directory.rank(options.rank)
        try DurableFiles.makeDirectory(rank.path)
        // All names that lead to it, also those that were there: whoever made them may have been
        // stopped before they were durable.
        for holder in [directory.path, StagedDirectory.root(path), path] {
            try DurableFiles.syncDirectory(holder)
        }
        rankLock = try FileLock(rank.lockPath, .exclusive)
        guard rankLock != nil else {
            throw GradDBError(
                .locked,
                "rank \(options.rank) of table '\(name)' at checkpoint '\(options.checkpoint)' is "
                    + "being written by another process; every rank has one writer")
        }
    }

    /// Lets others write the rank, or commit.
    func release() {
        rankLock = nil
        ingestLock = nil
    }

    private typealias Joined = (StagedDirectory, FileLock, TableView)

    private static func join(
        _ path: String, table name: String, _ options: StagedOptions, _ kernels: KernelSet
    ) throws -> Joined? {
        let before = try Database(path: path)
        guard
            let directory = try StagedDirectory.find(
                try before.table(name).document.table, checkpoint: options.checkpoint, in: path,
                catalog: before.catalog, kernels: kernels)
        else { return nil }
        let taken: FileLock?
        do {
            taken = try FileLock(directory.lockPath, .shared)
        } catch  where access(directory.path, F_OK) != 0 {
            // Committed or abandoned since.
            return nil
        }
        guard let lock = taken else {
            throw GradDBError(
                .locked,
                "the staged ingest of table '\(name)' at checkpoint '\(options.checkpoint)' is being "
                    + "committed or abandoned; try again when that is done")
        }
        let database = try Database(path: path)
        guard try directory.isCurrent(database.catalog) else { return nil }
        let view = try database.table(name).newest
        try directory.document.requireAgreement(with: options)
        try directory.requireSchema(of: view, kernels)
        return (directory, lock, view)
    }

    private static func begin(
        _ path: String, table name: String, _ options: StagedOptions, _ kernels: KernelSet
    ) throws {
        let writer = try DatabaseWriter(path: path)
        let table = try writer.table(name)
        let here = try StagedDirectory.find(
            table.document.table, checkpoint: options.checkpoint, in: path, catalog: writer.catalog,
            kernels: kernels)
        if here == nil { try writer.beginStaged(table, options, kernels) }
    }

    /// Makes sure that what the journal lists is there, in its sizes, and deletes what a process that
    /// was killed left beside it. Hashes are for the commit.
    func tidyFiles(_ journal: JournalFile) throws {
        for pair in journal.pairs {
            let path = rank.sstPath(pair.file)
            var status = stat()
            guard stat(path, &status) == 0 else { throw StagedHash.missing(path) }
            guard status.st_size == pair.sstBytes else { throw StagedHash.damaged(path) }
        }
        let listed = Set(
            journal.pairs.flatMap { [rank.sstPath($0.file), rank.recordsPath($0.file)] })
        for name in StagedDirectory.names(in: rank.path) {
            let path = rank.path + "/" + name
            let isPart = name.hasSuffix(".sst") || name.hasSuffix(".rows")
            guard isPart, !listed.contains(path) else { continue }
            guard unlink(path) == 0 || errno == ENOENT else {
                throw DurableFiles.failure("remove", path)
            }
        }
    }
}

extension StagedDirectory {
    /// - Throws: `.failed` where blocks would look otherwise now.
    func requireSchema(of view: TableView, _ kernels: KernelSet) throws {
        guard try view.stagedSchema(kernels) == document.schema else {
            throw GradDBError(
                .failed,
                "the encodings of table '\(view.table.name)' are no longer those that the staged "
                    + "ingest at checkpoint '\(document.checkpoint)' was begun with (begun "
                    + "\(document.begun); a recode changes them): abandon it with `gradctl staged "
                    + "\(view.table.name) --checkpoint '\(document.checkpoint)' --abandon` and write "
                    + "it again")
        }
    }
}

extension DatabaseWriter {
    /// Reserves segments for all ranks, then makes the directory: without it, the next writer takes
    /// the reservation back.
    fileprivate func beginStaged(
        _ table: Table, _ options: StagedOptions, _ kernels: KernelSet
    ) throws {
        let view = try table.newest
        // To be refused now, not by the commit.
        _ = try view.checkpoint(
            toAddTo: options.checkpoint, step: options.step, weight: options.weight)
        let most = table.rowsPerGroup(try view.targetEncodings(kernels))
        guard options.rowsPerGroup ?? 1 <= most else {
            throw GradDBError.usage(
                "a row group of table '\(table.name)' has at most \(most) rows, not "
                    + "\(options.rowsPerGroup ?? 0)")
        }
        guard
            let database = try catalog.document(
                Catalog.Key.database, as: DatabaseDocument.self)
        else { throw GradDBError.corrupt("the catalog of \(path) has lost its document") }
        var counters = try self.counters()
        let first = counters.nextSegment
        counters.nextSegment += UInt64(options.ranks)
        var reservation = ReservationDocument(
            table: table.document.table, segments: UInt64(options.ranks))
        reservation.staged = true
        reservation.attaching = false
        let batch = WriteBatch(store)
        try batch.put(Catalog.Key.counters, document: counters)
        try batch.put(Catalog.Key.reservation(first), document: reservation)
        try commit(batch)
        try StagedDirectory.make(
            StagedDocument(
                database: database.created, table: table.document.table, name: table.name,
                firstSegment: first, ranks: options.ranks, checkpoint: options.checkpoint,
                step: options.step, weight: options.weight,
                rowsPerGroup: options.rowsPerGroup ?? most,
                schema: try view.stagedSchema(kernels), begun: Timestamp.now()), in: path)
    }
}
