// A backup directory: where its parts lie, whose backups it has, who may write to it.
// format-spec/backup.md draws it.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

struct BackupDirectory: Sendable {
    let path: String
    /// What `graddb-backups` says.
    let document: Document

    struct Document: Codable, Equatable, Sendable {
        static let formatName = "graddb-backups"
        static let currentVersion = 1
        var format = Self.formatName
        var formatVersion = Self.currentVersion
        /// The database whose backups these are: when it was made.
        var database: String
    }

    private var markerPath: String { path + "/graddb-backups" }
    var manifestsPath: String { path + "/backups" }
    var objectsPath: String { path + "/objects" }
    var partialPath: String { path + "/partial" }

    func path(of object: ObjectName) -> String {
        "\(objectsPath)/\(object.directory)/\(object)"
    }

    func manifestPath(_ number: UInt64) -> String {
        let digits = "\(number)"
        let zeros = String(repeating: "0", count: max(0, 8 - digits.count))
        return "\(manifestsPath)/\(zeros)\(digits).jsonl"
    }

    /// Opens a directory that is there.
    ///
    /// - Throws: `.notFound`, `.corrupt`, `.formatTooNew`.
    init(path: String) throws {
        self.path = path
        guard let bytes = try DurableFiles.read(path + "/graddb-backups") else {
            throw GradDBError(
                .notFound, "there are no backups at \(path); `gradctl backup create` makes one")
        }
        document = try bytes.withUnsafeBytes {
            try DocumentJSON.decode($0, what: path + "/graddb-backups")
        }
        guard document.format == Document.formatName else {
            throw GradDBError.corrupt("\(path)/graddb-backups is not that of a backup directory")
        }
        guard document.formatVersion <= Document.currentVersion else {
            throw GradDBError(
                .formatTooNew,
                "\(path) has format version \(document.formatVersion): use a newer gradctl")
        }
    }

    /// Opens the directory for a database's backups, or makes it, and locks it.
    ///
    /// - Throws: `.failed` where it holds something else, or backups of another database;
    ///   `.locked`, `.io`.
    static func prepare(
        _ path: String, database: String
    ) throws -> (directory: BackupDirectory, lock: FileLock) {
        let marker = path + "/graddb-backups"
        // Listed first: another process may write the marker, and then the rest, between the two looks.
        let names = try names(in: path)
        if try DurableFiles.read(marker) == nil {
            // What a process leaves that is killed before it has written the marker.
            guard Set(names).isSubset(of: ["lock", "graddb-backups.tmp"]) else {
                throw GradDBError(
                    .failed, "\(path) is not empty and has no backups; choose a new directory")
            }
            try DurableFiles.makeDirectories(path)
        }
        let lock = try lockForWriting(path)
        // Also where it was there: whoever made it may have been stopped before this.
        try DurableFiles.syncName(of: path)
        if try DurableFiles.read(marker) == nil {
            try write(Document(database: database), to: marker, in: path)
        }
        var directory = try BackupDirectory(path: path)
        if directory.document.database != database {
            guard try directory.manifestNumbers().isEmpty else {
                throw GradDBError(
                    .failed,
                    "\(path) has the backups of another database (made \(directory.document.database)"
                        + "); choose another directory")
            }
            try write(Document(database: database), to: marker, in: path)
            directory = try BackupDirectory(path: path)
        }
        for part in [directory.manifestsPath, directory.objectsPath, directory.partialPath] {
            try DurableFiles.makeDirectory(part)
        }
        try DurableFiles.syncDirectory(path)
        try directory.clearPartial()
        return (directory, lock)
    }

    private static func write(_ document: Document, to path: String, in directory: String) throws {
        let aside = path + ".tmp"
        try DurableFiles.write(try DocumentJSON.encode(document), to: aside)
        guard rename(aside, path) == 0 else { throw DurableFiles.failure("make", path) }
        try DurableFiles.syncDirectory(directory)
    }

    /// What was being written by a process that is gone.
    private func clearPartial() throws {
        for name in try Self.names(in: partialPath) { unlink(partialPath + "/" + name) }
    }

    // MARK: locks

    static func lockForWriting(_ path: String) throws -> FileLock {
        guard let lock = try FileLock(path + "/lock", .exclusive) else {
            throw GradDBError(
                .locked,
                "another process is writing to the backups at \(path): wait until it has finished")
        }
        return lock
    }

    /// For whoever removes objects.
    func lockOutReaders() throws -> FileLock {
        guard let lock = try FileLock(path + "/readers", .exclusive) else {
            throw GradDBError(
                .locked,
                "another process is reading the backups at \(path): wait until it has finished")
        }
        return lock
    }

    /// Keeps objects from being removed; nil where nothing can be locked, and so nothing removed.
    func lockForReading() throws -> FileLock? {
        var status = stat()
        let file = path + "/readers"
        let isThere = stat(file, &status) == 0
        guard access(isThere ? file : path, W_OK) == 0 else { return nil }
        do {
            if let lock = try FileLock(file, .shared) { return lock }
        } catch let error as GradDBError where error.kind == .io {
            // A full or failing disk: nobody prunes there, and what it has can still be read.
            return nil
        }
        throw GradDBError(
            .locked, "another process is pruning the backups at \(path): try again later")
    }

    // MARK: what is there

    /// What is in a directory, sorted; nothing in one that is not there. A directory that cannot be
    /// read is not empty: whoever took it for that would write over backups, or remove objects.
    private static func names(in directory: String) throws -> [String] {
        func found() throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        }
        do {
            return try found()
        } catch {
            var status = stat()
            if stat(directory, &status) != 0, errno == ENOENT { return [] }
            // Another process may have made it since.
            do {
                return try found()
            } catch {
                throw GradDBError(
                    .io, "cannot read \(directory): \(Database.systemReason(error))")
            }
        }
    }

    /// Numbers of the manifests that are there, ascending.
    func manifestNumbers() throws -> [UInt64] {
        try Self.names(in: manifestsPath).compactMap { name in
            guard name.hasSuffix(".jsonl"), let number = UInt64(name.dropLast(6)),
                manifestPath(number) == "\(manifestsPath)/\(name)"
            else { return nil }
            return number
        }.sorted()
    }

    /// Calls `body` with each object that is there.
    func forEachObject(_ body: (ObjectName) throws -> Void) throws {
        for directory in try Self.names(in: objectsPath) where directory.utf8.count == 2 {
            for name in try Self.names(in: "\(objectsPath)/\(directory)") {
                guard let object = ObjectName(name), object.directory == directory else { continue }
                try body(object)
            }
        }
    }

    /// Bytes of an object's file; nil where there is none.
    func fileBytes(of object: ObjectName) throws -> UInt64? {
        var status = stat()
        let file = path(of: object)
        guard stat(file, &status) == 0 else {
            guard errno == ENOENT || errno == ENOTDIR else {
                throw DurableFiles.failure("read", file)
            }
            return nil
        }
        return UInt64(status.st_size)
    }
}
