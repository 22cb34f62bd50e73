// What is staged in a database, for people and programs to look at.

/// One staged ingest, as it is right now.
package struct StagedIngest: Sendable {
    /// What one rank has written.
    package struct Rank: Sendable {
        package var rank: Int
        /// In finished pairs of files.
        package var rows: Int
        /// Of these files.
        package var bytes: UInt64
        /// Whether a process has opened it, now or earlier.
        package var isStarted: Bool
        package var isClosed: Bool
        /// Whether a process is writing it.
        package var isBeingWritten: Bool
    }

    package var document: StagedDocument
    /// Its directory.
    package var path: String
    /// All of them, in order.
    package var ranks: [Rank]
    /// Why it cannot be committed as it is, where something is wrong with it.
    package var problem: String?

    package var rows: Int { ranks.reduce(0) { $0 + $1.rows } }
    package var bytes: UInt64 { ranks.reduce(0) { $0 + $1.bytes } }

    /// Everything that is staged in a database, in the order in which it was begun. Takes no lock.
    ///
    /// - Throws: `.notFound`, `.corrupt`, `.io` for the database; what is wrong with a staged ingest
    ///   is its `problem`.
    package static func list(database path: String) throws -> [StagedIngest] {
        let kernels = try KernelSet.chosen()
        let database = try Database(path: path)
        let created = try database.catalog.document(
            Catalog.Key.database, as: DatabaseDocument.self)?.created
        return try StagedDirectory.all(in: path).compactMap { _, path in
            guard let directory = try StagedDirectory(at: path, kernels: kernels) else {
                return nil
            }
            var staged = StagedIngest(document: directory.document, path: path, ranks: [])
            if directory.document.database != created {
                staged.problem = "it belongs to another database"
            } else if try !directory.isCurrent(database.catalog) {
                // Committed or abandoned: the next writer removes it.
                return nil
            } else if let table = try? database.table(directory.document.name),
                try table.newest.stagedSchema(kernels) != directory.document.schema
            {
                staged.problem = "the table's encodings have changed since it was begun"
            }
            for number in 0..<directory.document.ranks {
                let rank = directory.rank(number)
                do {
                    staged.ranks.append(try Rank(rank, kernels))
                } catch let error as GradDBError where error.kind == .corrupt {
                    staged.problem = staged.problem ?? error.message
                }
            }
            return staged
        }
    }
}

extension StagedIngest.Rank {
    fileprivate init(_ rank: RankDirectory, _ kernels: KernelSet) throws {
        let journal = try RankJournal(of: rank, kernels: kernels)
        self.init(
            rank: rank.rank, rows: journal.rows, bytes: journal.bytes,
            isStarted: rank.isStarted, isClosed: journal.isClosed,
            isBeingWritten: FileLock.isHeld(rank.lockPath))
    }
}
