// Where a staged ingest lies: `staged/<first segment>/` in the database's directory. A name there is
// either whole or ends in `.tmp`: directories are made and removed under such a name.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

/// The directory of one staged ingest, with what its `ingest.json` says.
package struct StagedDirectory: Sendable {
    package let path: String
    package let document: StagedDocument
    /// XXH3-64 of `ingest.json`, which every line of its journals repeats.
    package let identity: String

    static func root(_ database: String) -> String { database + "/staged" }

    static func path(_ database: String, segment: UInt64) -> String {
        root(database) + "/" + Catalog.Key.hex(segment)
    }

    static func documentPath(_ directory: String) -> String { directory + "/ingest.json" }

    /// Reads `ingest.json`; nil where there is none.
    ///
    /// - Throws: `.corrupt`, `.formatTooNew`.
    init?(at path: String, kernels: KernelSet) throws {
        let file = Self.documentPath(path)
        guard let bytes = try DurableFiles.read(file) else { return nil }
        document = try bytes.withUnsafeBytes { try DocumentJSON.decode($0, what: file) }
        guard document.format == StagedDocument.formatName,
            (1...StagedDocument.maxRanks).contains(document.ranks),
            (1...Int(UInt32.max)).contains(document.rowsPerGroup),
            document.firstSegment < .max - UInt64(document.ranks)
        else { throw GradDBError.corrupt("\(file) is not that of a staged ingest") }
        guard document.formatVersion <= StagedDocument.currentVersion else {
            throw GradDBError(
                .formatTooNew,
                "\(file) has format version \(document.formatVersion): use a newer gradctl")
        }
        self.path = path
        identity = kernels.hexHash(bytes)
    }

    /// Directories of staged ingests by the segment in their names, whatever is in them.
    static func all(in database: String) -> [(segment: UInt64, path: String)] {
        names(in: root(database)).compactMap { name in
            guard name.utf8.count == 16, let segment = UInt64(name, radix: 16),
                Catalog.Key.hex(segment) == name
            else { return nil }
            return (segment, root(database) + "/" + name)
        }
    }

    static func names(in directory: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted()
    }

    // MARK: making and removing

    /// Makes the directory, whole and durable.
    static func make(_ document: StagedDocument, in database: String) throws {
        let path = path(database, segment: document.firstSegment)
        let making = path + ".tmp"
        try DurableFiles.makeDirectory(root(database))
        try? FileManager.default.removeItem(atPath: making)
        try DurableFiles.makeDirectory(making)
        try DurableFiles.write(try DocumentJSON.encode(document), to: documentPath(making))
        try DurableFiles.syncDirectory(making)
        guard rename(making, path) == 0 else { throw DurableFiles.failure("make", path) }
        try DurableFiles.syncDirectory(root(database))
        try DurableFiles.syncDirectory(database)
    }

    /// Removes a directory so that it is gone at once, even if its files go later.
    static func remove(_ path: String) throws {
        let removing = path + ".tmp"
        guard rename(path, removing) == 0 || errno == ENOENT else {
            throw DurableFiles.failure("remove", path)
        }
        if let slash = path.lastIndex(of: "/") {
            try DurableFiles.syncDirectory(String(path[..<slash]))
        }
        // What is left is removed by the next writer.
        try? FileManager.default.removeItem(atPath: removing)
    }

    /// Whether a reservation has its directory.
    static func isThere(_ database: String, segment: UInt64) throws -> Bool {
        var status = stat()
        let path = documentPath(path(database, segment: segment))
        if stat(path, &status) == 0 { return true }
        guard errno == ENOENT || errno == ENOTDIR else { throw DurableFiles.failure("read", path) }
        return false
    }

    /// Removes what a writer that died was making or removing, and this database's staged ingests
    /// that are committed or abandoned. What else there may be is not ours.
    static func removeStale(in database: String, catalog: Catalog) throws {
        for name in names(in: root(database)) where name.hasSuffix(".tmp") {
            try? FileManager.default.removeItem(atPath: root(database) + "/" + name)
        }
        let directories = all(in: database)
        guard !directories.isEmpty else { return }
        let kernels = try KernelSet.chosen()
        let created = try catalog.document(
            Catalog.Key.database, as: DatabaseDocument.self)?.created
        for (segment, path) in directories {
            guard let found = try? StagedDirectory(at: path, kernels: kernels),
                found.document.database == created, found.document.firstSegment == segment,
                try catalog.document(
                    Catalog.Key.reservation(segment), as: ReservationDocument.self) == nil
            else { continue }
            try? remove(path)
        }
    }

    // MARK: who uses it

    /// Shared by all ranks at work; exclusive while it is committed or abandoned.
    var lockPath: String { path + "/lock" }

    /// The directory of a rank.
    func rank(_ rank: Int) -> RankDirectory {
        let digits = String(rank)
        return RankDirectory(
            path: path + "/rank-" + String(repeating: "0", count: max(0, 5 - digits.count))
                + digits,
            rank: rank, segment: document.firstSegment + UInt64(rank), identity: identity,
            rowsPerGroup: document.rowsPerGroup)
    }

    /// Whether it is one of this database's, and not yet committed or abandoned.
    func isCurrent(_ catalog: Catalog) throws -> Bool {
        guard
            let database = try catalog.document(
                Catalog.Key.database, as: DatabaseDocument.self),
            let reservation = try catalog.document(
                Catalog.Key.reservation(document.firstSegment), as: ReservationDocument.self)
        else { return false }
        return database.created == document.database && reservation.staged == true
            && reservation.table == document.table
            && reservation.segments == UInt64(document.ranks)
    }

    /// What is staged for a table at a checkpoint; nil when nothing is.
    static func find(
        _ table: UInt32, checkpoint: String, in database: String, catalog: Catalog,
        kernels: KernelSet
    ) throws -> StagedDirectory? {
        var problem: GradDBError?
        for (segment, path) in all(in: database) {
            // Directories that are no part of this database must not keep it from working.
            let reservation: ReservationDocument? = try catalog.document(
                Catalog.Key.reservation(segment))
            guard reservation?.staged == true, reservation?.table == table else { continue }
            do {
                guard let found = try StagedDirectory(at: path, kernels: kernels),
                    found.document.firstSegment == segment,
                    found.document.checkpoint.utf8.elementsEqual(checkpoint.utf8),
                    try found.isCurrent(catalog)
                else { continue }
                return found
            } catch let error as GradDBError {
                problem = GradDBError(
                    error.kind, error.message + "; restore it, or remove \(path) to abandon it")
            }
        }
        // It may be the one that was asked for.
        if let problem { throw problem }
        return nil
    }
}

/// Where one rank writes.
package struct RankDirectory: Sendable {
    let path: String
    let rank: Int
    let segment: UInt64
    /// Of the staged ingest.
    let identity: String
    let rowsPerGroup: Int

    /// Held while a process writes the rank.
    var lockPath: String { path + "/lock" }
    var journalPath: String { path + "/journal" }

    /// Whether a process has opened it, now or earlier.
    var isStarted: Bool {
        var status = stat()
        return stat(lockPath, &status) == 0
    }

    func sstPath(_ file: Int) -> String { path + "/" + Self.digits(file) + ".sst" }
    func recordsPath(_ file: Int) -> String { path + "/" + Self.digits(file) + ".rows" }

    private static func digits(_ file: Int) -> String {
        let digits = String(file)
        return String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }
}
