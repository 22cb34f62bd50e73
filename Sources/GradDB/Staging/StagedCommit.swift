// Makes one snapshot of what the ranks of a staged ingest have written. The steps, and what a crash
// after each leaves, are format-spec/staging.md:
//
//   lock -> check closed, unchanged, whole -> reserve -> register ids -> attach -> publish -> remove

extension DatabaseWriter {
    /// Commits the staged ingest of a table at a checkpoint, or leaves it as it was.
    ///
    /// - Parameter progress: called now and then, from the calling thread.
    /// - Throws: `.usage` when nothing is staged; `.locked` while a rank is being written; `.failed`
    ///   for ranks that are not closed, and where the table's encodings have changed; `.badInput`
    ///   for ids that are there already or come twice; `.corrupt` naming the file; `.interrupted`,
    ///   `.io`.
    package func commitStaged(
        into tableName: String, checkpoint: String, options: StagedCommitOptions,
        cancellation: Cancellation = Cancellation(),
        progress: (IngestProgress) -> Void = { _ in }
    ) throws -> IngestResult {
        let started = ContinuousClock.now
        try requireUsable()
        let table = try self.table(tableName)
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        let (directory, lock) = try lockStaged(of: table, checkpoint: checkpoint)
        let staged = try StagedCommit(
            table: table, directory: directory, options: options, cancellation: cancellation)
        let ranks = try staged.readRanks()
        try staged.verify(ranks, progress)
        var result: IngestResult
        if ranks.contains(where: { $0.journal.rows > 0 }) {
            result = try withCommit(
                to: table, staged: directory.document.firstSegment, cancellation: cancellation
            ) { try staged.run($0, ranks) }
        } else {
            try endStaged(directory)
            result = IngestResult(
                snapshot: table.head.snapshot, rows: 0, newRows: 0, skipped: 0, bytes: 0,
                inputBytes: 0, seconds: 0, unusedTensors: [], notes: [])
            if let tag = options.tag { try self.tag(tableName, tag, snapshot: nil) }
        }
        // From here on it is stale, whether it can be removed or not.
        try? StagedDirectory.remove(directory.path)
        withExtendedLifetime(lock) {}
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }

    /// Removes a staged ingest with all that its ranks have written.
    ///
    /// - Throws: `.usage` when nothing is staged; `.locked` while a rank is being written; `.io`.
    package func abandonStaged(_ tableName: String, checkpoint: String) throws {
        try requireUsable()
        let (directory, lock) = try lockStaged(
            of: try table(tableName), checkpoint: checkpoint)
        try StagedDirectory.remove(directory.path)
        try endStaged(directory)
        withExtendedLifetime(lock) {}
    }

    private func endStaged(_ directory: StagedDirectory) throws {
        let batch = WriteBatch(store)
        batch.delete(document: Catalog.Key.reservation(directory.document.firstSegment))
        try commit(batch)
    }

    /// Finds a staged ingest and keeps its ranks from being written.
    private func lockStaged(
        of table: Table, checkpoint: String
    ) throws -> (StagedDirectory, FileLock) {
        guard
            let directory = try StagedDirectory.find(
                table.document.table, checkpoint: checkpoint, in: path, catalog: catalog,
                kernels: try KernelSet.chosen())
        else {
            throw GradDBError.usage(
                "nothing is staged for table '\(table.name)' at checkpoint '\(checkpoint)'; "
                    + "`gradctl staged` lists what there is")
        }
        guard let lock = try FileLock(directory.lockPath, .exclusive) else {
            let ranks = (0..<directory.document.ranks).filter {
                FileLock.isHeld(directory.rank($0).lockPath)
            }
            throw GradDBError(
                .locked,
                "\(StagedCommit.list(ranks)) of table '\(table.name)' at checkpoint '\(checkpoint)' "
                    + "\(ranks.count > 1 ? "are" : "is") being written; wait until that is done")
        }
        return (directory, lock)
    }
}

/// A rank with what it has written.
struct StagedRank {
    var directory: RankDirectory
    var journal: RankJournal
}

private struct StagedCommit {
    let table: Table
    let directory: StagedDirectory
    let options: StagedCommitOptions
    let cancellation: Cancellation
    private let kernels: KernelSet
    private let checkpoint: CheckpointDocument

    init(
        table: Table, directory: StagedDirectory, options: StagedCommitOptions,
        cancellation: Cancellation
    ) throws {
        self.table = table
        self.directory = directory
        self.options = options
        self.cancellation = cancellation
        kernels = try KernelSet.chosen()
        let view = try table.newest
        try directory.requireSchema(of: view, kernels)
        let document = directory.document
        checkpoint = try view.checkpoint(
            toAddTo: document.checkpoint, step: document.step, weight: document.weight)
    }

    // MARK: check

    /// All ranks, in order.
    func readRanks() throws -> [StagedRank] {
        let ranks = try (0..<directory.document.ranks).map { number in
            let rank = directory.rank(number)
            return StagedRank(
                directory: rank, journal: try RankJournal(of: rank, kernels: kernels))
        }
        let open = ranks.filter { !$0.journal.isClosed }.map(\.directory.rank)
        guard open.isEmpty || options.partial else {
            throw GradDBError(
                .failed,
                "\(Self.list(open)) of \(ranks.count) \(open.count == 1 ? "has" : "have") not been "
                    + "closed; finish \(open.count == 1 ? "it" : "them") with --resume, or commit "
                    + "what there is with --partial")
        }
        return ranks
    }

    static func list(_ ranks: [Int]) -> String {
        guard !ranks.isEmpty else { return "a rank" }
        let shown = ranks.prefix(12).map(String.init).joined(separator: ", ")
        return (ranks.count == 1 ? "rank " : "ranks ") + shown + (ranks.count > 12 ? ", …" : "")
    }

    /// Every byte of every file that a journal names.
    func verify(_ ranks: [StagedRank], _ progress: (IngestProgress) -> Void) throws {
        let units = ranks.flatMap { rank in rank.journal.pairs.map { (rank.directory, $0) } }
        var done = IngestProgress(rows: 0, inputBytes: 0)
        // A few at a time, so that the caller hears of it.
        let step = max(1, options.threads) * 4
        for start in stride(from: 0, to: units.count, by: step) {
            let part = Array(units[start..<min(units.count, start + step)])
            try Parallel.forEach(part.count, threads: options.threads) { index, _ in
                let (rank, pair) = part[index]
                try verify(rank.sstPath(pair.file), pair.sstBytes, pair.sstXxh3)
                try verify(rank.recordsPath(pair.file), pair.rowsBytes, pair.rowsXxh3)
            }
            for (_, pair) in part {
                done.rows += pair.rows
                done.inputBytes += pair.sstBytes + pair.rowsBytes
            }
            progress(done)
        }
    }

    private func verify(_ path: String, _ bytes: UInt64, _ hash: String) throws {
        guard let found = try StagedHash.of(file: path, kernels, cancellation: cancellation) else {
            throw StagedHash.missing(path)
        }
        guard found.bytes == bytes, StagedHash.text(found.hash) == hash else {
            throw StagedHash.damaged(path)
        }
    }

    // MARK: commit

    func run(_ commit: Commit, _ ranks: [StagedRank]) throws -> IngestResult {
        var agreement = ProjectorAgreement(
            table: table.name, layers: table.layers, hasRows: table.head.nextRow > 0)
        for rank in ranks {
            for pair in rank.journal.pairs {
                try agreement.check(
                    pair.projectors ?? [:], of: rank.directory.sstPath(pair.file))
            }
        }
        let registry = try RowRegistry(
            try table.newest, checkpoint: checkpoint, batch: commit.batch, kernels: kernels,
            willSpill: { try commit.announceSpill() })
        let segments = try ranks.filter { $0.journal.rows > 0 }.map { rank in
            try register(rank, registry, commit)
        }
        try registry.finish()
        try cancellation.check()
        try commit.attach(
            copiesOf: ranks.flatMap { rank in
                rank.journal.pairs.map { rank.directory.sstPath($0.file) }
            })
        try cancellation.check()
        var next = try NextSnapshot(of: table, .commit, message: options.message, tag: options.tag)
        next.add(
            segments, sums: Self.sums(of: ranks), at: checkpoint, registry, agreement)
        try commit.publish(next)
        return IngestResult(
            snapshot: next.number, rows: segments.reduce(0) { $0 + $1.rows },
            newRows: registry.newRows, skipped: 0, bytes: segments.reduce(0) { $0 + $1.bytes },
            inputBytes: 0, seconds: 0, unusedTensors: [], notes: agreement.notes)
    }

    /// Of the vectors of all ranks, by encoding.
    private static func sums(of ranks: [StagedRank]) -> [UInt32: UInt64] {
        ranks.lazy.flatMap(\.journal.pairs).flatMap(\.sums).reduce(into: [:]) { sums, part in
            guard let encoding = UInt32(part.key), let sum = UInt64(part.value, radix: 16) else {
                return
            }
            sums[encoding, default: 0] &+= sum
        }
    }

    /// Gives the rows of a rank their numbers, in stored order, and returns its segment.
    private func register(
        _ rank: StagedRank, _ registry: RowRegistry, _ commit: Commit
    ) throws -> SegmentDocument {
        let rowsPerGroup = rank.directory.rowsPerGroup
        var segment = SegmentDocument(
            segment: rank.directory.segment, checkpoint: checkpoint.checkpoint,
            rows: rank.journal.rows, rowGroups: rank.journal.groups, rowsPerGroup: rowsPerGroup,
            encodings: try table.newest.targetEncodings(kernels).map {
                let key = String($0.number)
                return .init(
                    encoding: $0.number,
                    bytes: rank.journal.pairs.reduce(0) { $0 &+ ($1.encodings[key] ?? 0) })
            }, firstRow: .max, lastRow: 0,
            snapshots: SnapshotRanges(from: table.head.snapshot + 1))
        var rows: [UInt64] = []
        var group: UInt32 = 0
        func finishGroup() throws {
            commit.batch.put(
                .fields,
                Keys.rowMap(
                    table: table.document.table, segment: segment.segment, rowGroup: group),
                try RowMap.encode(rows))
            rows.removeAll(keepingCapacity: true)
            group += 1
        }
        for pair in rank.journal.pairs {
            try cancellation.check()
            try StagedRecords.forEach(
                pair, of: rank.directory, fieldCount: table.fields.count, kernels: kernels
            ) { index, record in
                let row = try register(
                    record, registry,
                    place: "\(rank.directory.recordsPath(pair.file)), row \(index)")
                rows.append(row)
                segment.firstRow = min(segment.firstRow, row)
                segment.lastRow = max(segment.lastRow, row)
                if rows.count == rowsPerGroup { try finishGroup() }
            }
        }
        if !rows.isEmpty { try finishGroup() }
        return segment
    }

    private func register(
        _ record: RowRecord, _ registry: RowRegistry, place: @autoclosure () -> String
    ) throws -> UInt64 {
        let remedy = "nothing was committed; abandon the staged ingest and write each id once"
        switch try registry.register(record.id, values: record.values, place: place()) {
        case .accepted(let row): return row
        case .present:
            throw GradDBError.badInput(
                "\(place()): the checkpoint has a vector for id \(record.id) already; \(remedy)")
        case .repeated:
            throw GradDBError.badInput(
                "\(place()): id \(record.id) comes twice in the staged ingest; \(remedy)")
        }
    }
}
