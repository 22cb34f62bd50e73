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

    /// Makes an empty database in a new or empty directory.
    public static func create(at path: String) throws {
        let files = FileManager.default
        if exists(at: path) {
            throw GradDBError(.failed, "there is a database at \(path) already")
        }
        if let contents = try? files.contentsOfDirectory(atPath: path), !contents.isEmpty {
            throw GradDBError(
                .failed, "\(path) is not empty and not a database; choose a new directory")
        }
        do {
            try files.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw GradDBError(.io, "cannot make the directory \(path): \(systemReason(error))")
        }
        let store = try RocksStore(path: path, mode: .creating)
        let batch = WriteBatch(store)
        try batch.put(
            Catalog.Key.database, document: DatabaseDocument(created: Timestamp.now()))
        try batch.put(Catalog.Key.counters, document: CountersDocument())
        try store.write(batch, sync: true)
        try store.flush([.catalog])
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

    /// A writer may replace files between our reading the manifest and opening what it lists; a
    /// second look then finds the new ones. What still fails after a few looks is damage.
    private static func openPatiently(_ path: String) throws -> RocksStore {
        var attempt = 0
        while true {
            do {
                return try RocksStore(path: path, mode: .reading)
            } catch let error as GradDBError {
                attempt += 1
                guard attempt < 5, error.kind == .corrupt || error.kind == .io else { throw error }
                usleep(20_000)
            }
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
        (error as? CocoaError)?.underlying.map { "\($0)" } ?? "\(error)"
    }
}
