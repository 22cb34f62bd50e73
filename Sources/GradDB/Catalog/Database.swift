// Opening: is there a database, do we understand its format, which tables does it hold.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

/// A database opened for reading: what was committed when it was opened, unchanging.
///
/// Opening takes no lock; any number of readers run beside one writer, in any process. To see later
/// commits, open again.
public final class Database: Sendable {
    public let path: String
    package let store: RocksStore
    package var catalog: Catalog { Catalog(store) }

    /// Opens for reading.
    ///
    /// - Throws: `.notFound` without a database at `path`, `.formatTooNew`, `.corrupt`, `.io`.
    public init(path: String) throws {
        self.path = path
        try Self.requireDatabase(path)
        store = try Self.openPatiently(path)
        try Self.checkFormat(Catalog(store), path: path, writing: false)
    }

    /// Opens what there is to be read, though files may be missing or damaged: to look at what is
    /// broken. Whatever is read may fail.
    ///
    /// - Throws: `.notFound`, `.formatTooNew`; `.corrupt` and `.io` where nothing can be read.
    public init(inspecting path: String) throws {
        self.path = path
        try Self.requireDatabase(path)
        do {
            store = try Self.openPatiently(path)
        } catch let error as GradDBError where error.isDamage {
            store = try RocksStore(path: path, mode: .inspecting)
        }
        do {
            try Self.checkFormat(Catalog(store), path: path, writing: false)
        } catch let error as GradDBError where error.kind == .corrupt {
            // The check says so.
        }
    }

    /// Makes an empty database in a new or empty directory.
    ///
    /// - Throws: `.failed` where something is there already, `.locked` where another process makes one,
    ///   `.io`.
    public static func create(at requestedPath: String) throws {
        let files = FileManager.default
        var path = requestedPath
        while path.count > 1, path.last == "/" { path.removeLast() }
        try requireFree(path)
        // Made aside and renamed, so that a database is there whole or not at all. Where that
        // cannot be (a mount point, a parent that others own), it is made in place.
        let aside = "\(path).making-\(ProcessInfo.processInfo.processIdentifier)"
        try? files.removeItem(atPath: aside)
        defer { try? files.removeItem(atPath: aside) }
        let parent = DurableFiles.parent(of: path)
        try DurableFiles.makeDirectories(parent)
        guard mkdir(aside, 0o755) == 0 || DurableFiles.isDiskFailure(errno) else {
            try make(at: path)
            return
        }
        try make(at: aside)
        guard rename(aside, path) == 0 else {
            if DurableFiles.isDiskFailure(errno) { throw DurableFiles.failure("make", path) }
            try make(at: path)
            return
        }
        do {
            try DurableFiles.syncName(of: path)
        } catch {
            // Nobody knows whether its name would outlive a power failure: it goes again.
            _ = rename(path, aside)
            throw error
        }
    }

    /// - Throws: `.failed` where something is at a path that is no empty directory.
    private static func requireFree(_ path: String) throws {
        // Listed first: another process may make a database here between the two looks.
        let contents = try? FileManager.default.contentsOfDirectory(atPath: path)
        guard !exists(at: path) else {
            throw GradDBError(.failed, "there is a database at \(path) already")
        }
        guard contents?.isEmpty ?? true else {
            throw GradDBError(
                .failed, "\(path) is not empty and not a database; choose a new directory")
        }
    }

    /// Makes a database in a directory, where it has none: another process may have made one, and
    /// written to it, since we looked.
    private static func make(at path: String) throws {
        try DurableFiles.makeDirectories(path)
        try requireFree(path)
        let store = try RocksStore(path: path, mode: .creating)
        let batch = WriteBatch(store)
        try batch.put(
            Catalog.Key.database, document: DatabaseDocument(created: Timestamp.now()))
        try batch.put(Catalog.Key.counters, document: CountersDocument())
        try store.write(batch, sync: true)
        try store.flush([.catalog])
        try DurableFiles.syncDirectory(path)
    }

    public static func exists(at path: String) -> Bool {
        FileManager.default.fileExists(atPath: path + "/CURRENT")
    }

    /// The format version of this database.
    public var formatVersion: Int { DatabaseDocument.currentVersion }

    /// Bytes of all files that belong to the database.
    public var bytes: UInt64 { store.liveFileBytes() }

    /// Names of the tables, sorted.
    public func tableNames() throws -> [String] {
        try catalog.documents(Catalog.Key.tables, as: TableDocument.self).map(\.document.name)
    }

    /// - Throws: `.notFound`, with the nearest existing names in the message.
    public func table(_ name: String) throws -> Table {
        guard
            let document = try catalog.document(Catalog.Key.table(name), as: TableDocument.self)
        else {
            let names = try tableNames()
            let known =
                names.isEmpty
                ? "it has none yet; make one with `gradctl create`"
                : "it has: " + names.prefix(12).joined(separator: ", ")
                    + (names.count > 12 ? ", …" : "")
            throw GradDBError(.notFound, "no table '\(name)' in the database \(path); \(known)")
        }
        return try Table(document, in: store)
    }

    // MARK: opening

    package static func requireDatabase(_ path: String) throws {
        guard exists(at: path) else {
            throw GradDBError(
                .notFound, "there is no database at \(path); `gradctl init --db \(path)` makes one")
        }
    }

    /// How long a reader tries while writers change the database under it.
    private static let patience = Duration.seconds(10)

    /// A read-only open looks at the manifest, the files and the log one after the other. A writer
    /// in between can make it fail (a listed file is gone), or show a publication whose blocks were
    /// attached after the manifest had been read. So an open counts only if the manifest is the
    /// same before and after, or if nothing of the catalog came from the log: then everything
    /// visible came from one manifest, and the catalog is flushed last. But the log must have been
    /// empty before: what others have seen in it may be in a newer manifest by now. (A writer that
    /// commits all the time does not keep readers out for that: late, it need not.)
    private static func openPatiently(_ path: String) throws -> RocksStore {
        let deadline = ContinuousClock.now + patience
        var pause: useconds_t = 5_000
        var failures = 0
        var wasLogEmpty = false
        while true {
            let before = ManifestMark(path)
            do {
                let store = try RocksStore(path: path, mode: .reading)
                if before == ManifestMark(path)
                    || (wasLogEmpty || ContinuousClock.now > deadline - patience / 2)
                        && store.isMemtableEmpty(.catalog)
                {
                    EngineMetrics.add(1, to: .readerOpens)
                    return store
                }
            } catch let error as GradDBError {
                failures += 1
                // With a manifest at rest, damage is damage.
                let isAtRest = before == ManifestMark(path) && failures >= 3
                guard !isAtRest, error.kind == .corrupt || error.kind == .io else { throw error }
                guard ContinuousClock.now < deadline else { throw error }
            }
            guard ContinuousClock.now < deadline else {
                throw GradDBError(
                    .io, "\(path) is changed all the time by its writer; try again later")
            }
            EngineMetrics.add(1, to: .readerRetries)
            usleep(pause)
            pause = min(pause * 2, 200_000)
            wasLogEmpty = isLogEmpty(path)
        }
    }

    private static func isLogEmpty(_ path: String) -> Bool {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            return false
        }
        return names.allSatisfy { name in
            var status = stat()
            return !name.hasSuffix(".log")
                || stat(path + "/" + name, &status) == 0 && status.st_size == 0
        }
    }

    /// Which manifest a database has, and how long it is: it grows with every change of files.
    private struct ManifestMark: Equatable {
        let name: String
        let bytes: Int

        init(_ path: String) {
            let current = FileManager.default.contents(atPath: path + "/CURRENT") ?? Data()
            name = String(decoding: current, as: UTF8.self).filter { !$0.isNewline }
            var status = stat()
            bytes = stat(path + "/" + name, &status) == 0 ? status.st_size : 0
        }
    }

    package static func checkFormat(_ catalog: Catalog, path: String, writing: Bool) throws {
        guard
            let document = try catalog.document(
                Catalog.Key.database, as: DatabaseDocument.self),
            document.format == DatabaseDocument.formatName
        else {
            throw GradDBError(.corrupt, "\(path) is a RocksDB database, but not one of GradDB's")
        }
        guard document.formatVersion <= DatabaseDocument.currentVersion else {
            throw GradDBError(
                .formatTooNew,
                "\(path) has format version \(document.formatVersion); this program reads up to "
                    + "\(DatabaseDocument.currentVersion): use a newer gradctl")
        }
        var unknown = Set(document.readerFeatures)
            .subtracting(DatabaseDocument.knownReaderFeatures)
        if writing {
            unknown.formUnion(
                Set(document.writerFeatures).subtracting(DatabaseDocument.knownWriterFeatures))
        }
        guard unknown.isEmpty else {
            throw GradDBError(
                .formatTooNew,
                "\(path) uses \(unknown.sorted().joined(separator: ", ")), which this program "
                    + "does not know: use a newer gradctl")
        }
    }

    static func systemReason(_ error: any Error) -> String {
        let cause = (error as? CocoaError)?.underlying ?? error
        return (cause as? POSIXError).map { String(cString: strerror($0.code.rawValue)) }
            ?? "\(cause)"
    }
}
