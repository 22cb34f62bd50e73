// One open RocksDB instance: the only place, with its neighbours in this folder, that imports
// CRocksDB. It knows column families and bytes, nothing of tables or vectors.
//
// Three ways to open, for three purposes (the measurements behind each setting are in
// docs/measurements.md):
//   .reading     read-only with mmap; any number of processes, no lock. Blocks are found in their
//                table files without RocksDB (BlockFiles), and returned as pointers into the page
//                cache.
//   .inspecting  the same where files may be missing or damaged: to look at what is broken.
//   .writing     read-write, one process at a time (RocksDB's LOCK file), without mmap.

import CRocksDB

#if canImport(Glibc)
    import Glibc
#endif

/// A RocksDB handle and its column families. Thread-safe as RocksDB is.
package final class RocksStore: @unchecked Sendable {  // RocksDB handles may be shared by threads
    package enum Mode: Sendable {
        case reading, inspecting, writing, creating

        var isReading: Bool { self == .reading || self == .inspecting }
    }

    package let path: String
    package let mode: Mode
    /// What this process has verified of `blocks`.
    package let verifiedBlocks = VerifiedBlocks()
    package let keptValues = KeptValues()
    /// What tells this database from all others there are or were in its place: what is kept outside of
    /// a handle is kept under it.
    package let identity: String
    private let instance: OpenInstance
    private let options: RocksOptions
    private let reads: OpaquePointer
    /// Where readers find blocks; nil for writers, and where RocksDB's log says something of blocks.
    package let blockFiles: BlockFiles?

    var db: OpaquePointer { instance.db }

    package init(path: String, mode: Mode) throws {
        self.path = path
        self.mode = mode
        options = RocksOptions(mode: mode)
        (instance, blockFiles) =
            mode.isReading
            ? try Self.openForReading(path, mode, options)
            : (try OpenInstance(path, mode, options), nil)
        reads = rocksdb_readoptions_create()
        rocksdb_readoptions_set_verify_checksums(reads, 1)
        identity = Self.identity(path)
    }

    /// RocksDB's name for the instance, which copies share, and the directory's place on its disk.
    private static func identity(_ path: String) -> String {
        var status = stat()
        let place = stat(path, &status) == 0 ? "\(status.st_dev) \(status.st_ino)" : path
        let name = (try? DurableFiles.read(path + "/IDENTITY")) ?? nil
        return place + " " + String(decoding: name ?? [], as: UTF8.self)
    }

    /// Opens so that no file can be taken from under the reader: blocks are mapped here, the files
    /// of records opened by RocksDB.
    private static func openForReading(
        _ path: String, _ mode: Mode, _ options: RocksOptions
    ) throws -> (OpenInstance, BlockFiles?) {
        var instance = try OpenInstance(path, mode, options)
        var files = instance.liveFiles(path)
        let recordFiles = files.count { $0.family != ColumnFamily.blocks.rawValue }
        // RocksDB's table of open files has many parts, of which none may overflow.
        if !instance.isMemtableEmpty(.blocks) || recordFiles > RocksOptions.mostOpenFiles / 8 {
            instance.close()
            options.openAllFiles()
            instance = try OpenInstance(path, mode, options)
            files = instance.liveFiles(path)
        }
        do {
            do {
                try instance.openRecordFiles(files)
            } catch  where mode == .inspecting {
                // Whatever is missing is what is looked for.
            }
            return (
                instance,
                instance.isMemtableEmpty(.blocks)
                    ? try BlockFiles(
                        files.filter { $0.family == ColumnFamily.blocks.rawValue },
                        tolerating: mode == .inspecting)
                    : nil
            )
        } catch {
            instance.close()
            throw error
        }
    }

    deinit {
        instance.close()
        rocksdb_readoptions_destroy(reads)
    }

    /// Names of the column families that a database on disk has.
    package static func familyNames(path: String) throws -> [String] {
        let options = RocksOptions(mode: .reading)
        var count = 0
        let list = try check("read the manifest of", path) { error in
            rocksdb_list_column_families(options.database, path, &count, error)
        }
        guard let list else { return [] }
        defer { rocksdb_list_column_families_destroy(list, count) }
        return (0..<count).compactMap { list[$0].map { String(cString: $0) } }
    }

    func handle(_ family: ColumnFamily) -> OpaquePointer { instance.handle(family) }

    // MARK: reading

    /// The value of a key, copied; nil when there is none.
    package func get(_ family: ColumnFamily, _ key: [UInt8]) throws -> [UInt8]? {
        guard let value = try pinned(family, key) else { return nil }
        return value.withBytes { [UInt8]($0) }
    }

    /// The value of a key, a block's without copying it (reading mode); nil when absent. Blocks that
    /// a reader gets are not verified; what RocksDB reads is.
    package func pinned(_ family: ColumnFamily, _ key: [UInt8]) throws -> PinnedValue? {
        if family == .blocks, let blockFiles { return try blockFiles.value(key) }
        let slice = try Self.check("read", path) { error in
            key.withCharacters {
                rocksdb_get_pinned_cf(
                    db, reads, handle(family), $0, key.count, error)
            }
        }
        return slice.map { PinnedValue($0) }
    }

    /// Calls `body` for every entry whose key starts with `prefix`, in key order, until it
    /// returns false. RocksDB verifies its checksums.
    ///
    /// - Parameter includingRanges: also those that lie in ranges which were deleted at once.
    package func forEach(
        _ family: ColumnFamily, prefix: [UInt8], from start: [UInt8]? = nil,
        includingRanges: Bool = false,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        let reads: OpaquePointer = rocksdb_readoptions_create()
        defer { rocksdb_readoptions_destroy(reads) }
        rocksdb_readoptions_set_verify_checksums(reads, 1)
        rocksdb_readoptions_set_fill_cache(reads, 0)
        rocksdb_readoptions_set_ignore_range_deletions(reads, includingRanges ? 1 : 0)
        let iterator: OpaquePointer = rocksdb_create_iterator_cf(db, reads, handle(family))
        defer { rocksdb_iter_destroy(iterator) }
        let first = start ?? prefix
        first.withCharacters { rocksdb_iter_seek(iterator, $0, first.count) }
        while rocksdb_iter_valid(iterator) != 0 {
            var keyCount = 0
            var valueCount = 0
            let key = UnsafeRawBufferPointer(
                start: rocksdb_iter_key(iterator, &keyCount), count: keyCount)
            guard key.starts(with: prefix) else { break }
            let value = rocksdb_iter_value(iterator, &valueCount)
            guard try body(key, UnsafeRawBufferPointer(start: value, count: valueCount)) else {
                return
            }
            rocksdb_iter_next(iterator)
        }
        try Self.check("read", path) { error in rocksdb_iter_get_error(iterator, error) }
    }

    /// Number of files at level 0 of a family: many mean that reads look in many places.
    package func levelZeroFileCount(_ family: ColumnFamily) -> Int {
        guard
            let text = rocksdb_property_value_cf(
                db, handle(family), "rocksdb.num-files-at-level0")
        else { return 0 }
        defer { rocksdb_free(text) }
        return Int(String(cString: text)) ?? 0
    }

    /// Whether nothing of a family is in memory only: after opening, whether its log was empty.
    package func isMemtableEmpty(_ family: ColumnFamily) -> Bool {
        instance.isMemtableEmpty(family)
    }

    /// All table files that the manifest lists.
    package func liveFiles() -> [LiveFile] { instance.liveFiles(path) }

    /// Bytes of all live table files.
    package func liveFileBytes() -> UInt64 {
        liveFiles().reduce(0) { $0 + UInt64($1.bytes) }
    }

    // MARK: writing

    /// Writes a batch atomically; with `sync` it is on the disk when this returns.
    package func write(_ batch: WriteBatch, sync: Bool) throws {
        let writes: OpaquePointer = rocksdb_writeoptions_create()
        defer { rocksdb_writeoptions_destroy(writes) }
        rocksdb_writeoptions_set_sync(writes, sync ? 1 : 0)
        try Self.check("write to", path) { error in
            rocksdb_write(db, writes, batch.handle, error)
        }
    }

    /// Moves finished SST files into a family, all or none, durably.
    package func ingest(_ files: [String], into family: ColumnFamily) throws {
        guard !files.isEmpty else { return }
        let options: OpaquePointer = rocksdb_ingestexternalfileoptions_create()
        defer { rocksdb_ingestexternalfileoptions_destroy(options) }
        rocksdb_ingestexternalfileoptions_set_move_files(options, 1)
        // Keys are new by construction: no older reader can be surprised, nothing overlaps.
        rocksdb_ingestexternalfileoptions_set_snapshot_consistency(options, 0)
        rocksdb_ingestexternalfileoptions_set_allow_global_seqno(options, 0)
        rocksdb_ingestexternalfileoptions_set_allow_blocking_flush(options, 0)
        do {
            try withCStrings(files) { names in
                try Self.check("attach new blocks to", path) { error in
                    rocksdb_ingest_external_file_cf(
                        db, handle(family), names, files.count, options, error)
                }
            }
        } catch let error as GradDBError {
            // Out of space, RocksDB makes a new manifest itself, on a thread of its own, as soon as
            // there is room; its assertions do not bear that another does so at that moment.
            if error.message.contains("No space left"), awaitRecovery() { throw error }
            renewManifest()
            // On a disk that is still full there is no room for a new one. Where the manifest names
            // files that are gone, its last record is theirs.
            do {
                _ = try RocksStore(path: path, mode: .reading)
            } catch let reason as GradDBError where reason.message.contains("No such file") {
                try? ManifestTail.cut(of: path)
            } catch {}
            throw error
        }
    }

    /// Makes RocksDB write a manifest of what it has. When it cannot sync the entry of an attached
    /// file it deletes the file, but the entry is written, and a manifest with it cannot be opened:
    /// "No such file". After that failure it distrusts the old manifest, so that the next change,
    /// be it of an option that has the value already, makes a new one.
    private func renewManifest() {
        let names = ["disable_auto_compactions"]
        try? withCStrings(names) { names in
            try withCStrings(["true"]) { values in
                try Self.check("write the manifest of", path) { error in
                    rocksdb_set_options_cf(db, handle(.blocks), 1, names, values, error)
                }
            }
        }
    }

    /// Waits a while for RocksDB to recover from a failure; false when it does not.
    private func awaitRecovery() -> Bool {
        // A batch with nothing in it is refused as long as any other would be.
        let nothing = WriteBatch(self)
        for _ in 0..<40 {
            if (try? write(nothing, sync: false)) != nil { return true }
            usleep(25_000)
        }
        return false
    }

    /// Drops every file of a family that lies entirely between the keys.
    package func deleteFiles(
        _ family: ColumnFamily, from start: [UInt8], to end: [UInt8]
    ) throws {
        try Self.check("remove files from", path) { error in
            start.withCharacters { first in
                end.withCharacters { limit in
                    rocksdb_delete_file_in_range_cf(
                        db, handle(family), first, start.count, limit, end.count, error)
                }
            }
        }
    }

    /// Moves what the write-ahead log protects into table files, so that a later open has no log
    /// to replay and every acknowledged byte lies in a checksummed, listed file.
    ///
    /// Does nothing where the disk has no room for it: the log keeps the data safe, while a flush
    /// that runs out of space puts RocksDB 7.8.3 into a recovery that Debian's build, which has
    /// its assertions on, may not survive.
    package func flush(_ families: [ColumnFamily]) throws {
        guard hasRoom(andFlushing: families) else { return }
        let options: OpaquePointer = rocksdb_flushoptions_create()
        defer { rocksdb_flushoptions_destroy(options) }
        rocksdb_flushoptions_set_wait(options, 1)
        for family in families {
            try Self.check("flush", path) { error in
                rocksdb_flush_cf(db, options, handle(family), error)
            }
        }
    }

    /// Flushes everything, `catalog` last: a reader that opens in between and finds the catalog in a
    /// table file finds everything that the catalog speaks of in table files too.
    package func flushAll() throws { try flush(ColumnFamily.records) }

    /// Makes sure that `bytes` can be written to the log, and what is in memory flushed, with
    /// something to spare for cleaning up. To run out of space inside RocksDB is worse than to be
    /// refused here: see `flush`.
    ///
    /// - Throws: `.io`.
    package func requireRoom(for bytes: Int) throws {
        guard hasRoom(for: UInt64(bytes), andFlushing: ColumnFamily.allCases) else {
            throw GradDBError(
                .io,
                "cannot write to \(path): no space left on the device; free some space and run "
                    + "the command again")
        }
    }

    private func hasRoom(for bytes: UInt64 = 0, andFlushing families: [ColumnFamily]) -> Bool {
        let margin: UInt64 = 4 << 20
        let needed = families.reduce(margin + bytes) { sum, family in
            var bytes: UInt64 = 0
            _ = rocksdb_property_int_cf(
                db, handle(family), "rocksdb.cur-size-all-mem-tables", &bytes)
            return sum + bytes
        }
        var space = statvfs()
        guard statvfs(path, &space) == 0 else { return true }
        return UInt64(space.f_bavail) * UInt64(space.f_frsize) > needed
    }

    package func compact(_ family: ColumnFamily) {
        rocksdb_compact_range_cf(db, handle(family), nil, 0, nil, 0)
    }

    /// Writes the files anew that hold keys of a range.
    package func compact(_ family: ColumnFamily, from start: [UInt8], to end: [UInt8]) {
        start.withCharacters { first in
            end.withCharacters { limit in
                rocksdb_compact_range_cf(
                    db, handle(family), first, start.count, limit, end.count)
            }
        }
    }

    // MARK: errors

    /// Runs a C call that reports through an error pointer and turns its text into an error.
    @discardableResult
    static func check<R>(
        _ action: String, _ path: String,
        _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) throws -> R
    ) throws -> R {
        var message: UnsafeMutablePointer<CChar>?
        let result = try body(&message)
        guard let message else { return result }
        defer { rocksdb_free(message) }
        throw GradDBError.rocks(String(cString: message), doing: action, path: path)
    }
}
