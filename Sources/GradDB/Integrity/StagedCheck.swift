// Staged ingests: their journals, and the files that those name.

#if canImport(Glibc)
    import Glibc
#endif

struct StagedCheck {
    private let database: Database
    private let isDeep: Bool
    private let cancellation: Cancellation

    init(_ database: Database, isDeep: Bool, cancellation: Cancellation) {
        self.database = database
        self.isDeep = isDeep
        self.cancellation = cancellation
    }

    /// - Parameter count: counts the staged ingests.
    func run(_ count: inout Int) throws -> [Finding] {
        let kernels = try KernelSet.chosen()
        var findings: [Finding] = []
        for (segment, path) in StagedDirectory.all(in: database.path) {
            try cancellation.check()
            guard isReserved(segment) else { continue }
            count += 1
            var found: [Finding] = []
            do {
                guard let directory = try StagedDirectory(at: path, kernels: kernels) else {
                    throw GradDBError.corrupt("\(path) has no ingest.json")
                }
                for rank in 0..<directory.document.ranks {
                    found += try check(directory.rank(rank), directory, kernels)
                }
            } catch let error as GradDBError where error.isDamage {
                found.append(Finding(.staged, error.message))
            }
            // One that was committed or abandoned meanwhile took its files with it.
            if StagedDirectory.all(in: database.path).contains(where: { $0.segment == segment }) {
                findings += found
            }
        }
        return findings
    }

    /// Whether a staged ingest has a directory's segment; without its reservation it is stale, and
    /// nobody's. Where that cannot be read, it may be somebody's.
    private func isReserved(_ segment: UInt64) -> Bool {
        do {
            let reservation = try database.catalog.document(
                Catalog.Key.reservation(segment), as: ReservationDocument.self)
            return reservation?.staged == true
        } catch {
            return true
        }
    }

    private func check(
        _ rank: RankDirectory, _ directory: StagedDirectory, _ kernels: KernelSet
    ) throws -> [Finding] {
        var findings: [Finding] = []
        func note(_ path: String, _ rows: Int?, _ body: () throws -> Void) throws {
            try cancellation.check()
            do {
                try body()
            } catch let error as GradDBError where error.isDamage {
                var finding = Finding(.staged, error.message, table: directory.document.name)
                finding.checkpoint = directory.document.checkpoint
                finding.segment = rank.segment
                finding.file = String(path.dropFirst(database.path.count + 1))
                finding.rows = rows
                findings.append(finding)
            }
        }
        var journal: RankJournal?
        try note(rank.journalPath, nil) { journal = try RankJournal(of: rank, kernels: kernels) }
        for pair in journal?.pairs ?? [] {
            let files = [
                (rank.sstPath(pair.file), pair.sstBytes, pair.sstXxh3),
                (rank.recordsPath(pair.file), pair.rowsBytes, pair.rowsXxh3),
            ]
            for (path, bytes, hash) in files {
                try note(path, pair.rows) { try check(path, bytes: bytes, hash: hash, kernels) }
            }
        }
        return findings
    }

    private func check(
        _ path: String, bytes: UInt64, hash: String, _ kernels: KernelSet
    ) throws {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw errno == ENOENT ? StagedHash.missing(path) : DurableFiles.failure("read", path)
        }
        guard UInt64(status.st_size) == bytes else { throw StagedHash.damaged(path) }
        guard isDeep else { return }
        let found = try StagedHash.of(file: path, kernels, cancellation: cancellation)
        guard let found, StagedHash.text(found.hash) == hash else {
            throw StagedHash.damaged(path)
        }
    }
}
