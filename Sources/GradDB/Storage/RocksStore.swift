// One open RocksDB instance: the only place, with its neighbours in this folder, that imports
// CRocksDB. It knows column families and bytes, nothing of tables or vectors.
//
// Two ways to open, for two purposes (the measurements behind each setting are in
// docs/measurements.md):
//   .reading  read-only with mmap and without RocksDB's own checks on `blocks`, where values are
//             returned as pointers into the page cache; any number of processes, no lock.
//   .writing  read-write, one process at a time (RocksDB's LOCK file), without mmap.

import CRocksDB

#if canImport(Glibc)
    import Glibc
#endif

/// A RocksDB handle and its column families. Thread-safe as RocksDB is.
package final class RocksStore: @unchecked Sendable {  // RocksDB handles may be shared by threads
    package enum Mode: Sendable { case reading, writing, creating }

    package let path: String
    package let mode: Mode
    /// What this process has verified of `blocks`.
    package let verifiedBlocks = VerifiedBlocks()
    package let keptValues = KeptValues()
    let db: OpaquePointer
    private let families: [ColumnFamily: OpaquePointer]
    private let options: RocksOptions
    /// Reads of `blocks` leave verification to the scan; all other families let RocksDB verify.
    private let blockReads: OpaquePointer
    private let verifiedReads: OpaquePointer

    package init(path: String, mode: Mode) throws {
        self.path = path
        self.mode = mode
        let options = RocksOptions(mode: mode)
        self.options = options
        let names = ColumnFamily.allCases
        var handles = [OpaquePointer?](repeating: nil, count: names.count)
        let familyOptions: [OpaquePointer?] = names.map { options.family($0) }
        let opened = try withCStrings(names.map(\.rawValue)) { cNames in
            try Self.check("open the database", path) { error in
                mode == .reading
                    ? rocksdb_open_for_read_only_column_families(
                        options.database, path, Int32(names.count), cNames, familyOptions,
                        &handles, 0, error)
                    : rocksdb_open_column_families(
                        options.database, path, Int32(names.count), cNames, familyOptions,
                        &handles, error)
            }
        }
        guard let opened else {
            throw GradDBError(.io, "cannot open the database \(path)")
        }
        db = opened
        families = Dictionary(
            uniqueKeysWithValues: zip(names, handles).compactMap { name, handle in
                handle.map { (name, $0) }
            })
        blockReads = rocksdb_readoptions_create()
        rocksdb_readoptions_set_verify_checksums(blockReads, 0)
        rocksdb_readoptions_set_fill_cache(blockReads, 0)
        verifiedReads = rocksdb_readoptions_create()
        rocksdb_readoptions_set_verify_checksums(verifiedReads, 1)
    }

    deinit {
        for handle in families.values { rocksdb_column_family_handle_destroy(handle) }
        rocksdb_close(db)
        rocksdb_readoptions_destroy(blockReads)
        rocksdb_readoptions_destroy(verifiedReads)
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

    func handle(_ family: ColumnFamily) -> OpaquePointer {
        // Every family of the enumeration was opened, or init threw.
        guard let handle = families[family] else { preconditionFailure("family not open") }
        return handle
    }

    // MARK: reading

    /// The value of a key, copied; nil when there is none.
    package func get(_ family: ColumnFamily, _ key: [UInt8]) throws -> [UInt8]? {
        guard let value = try pinned(family, key) else { return nil }
        return value.withBytes { [UInt8]($0) }
    }

    /// The value of a key without copying it where RocksDB can (reading mode); nil when absent.
    package func pinned(_ family: ColumnFamily, _ key: [UInt8]) throws -> PinnedValue? {
        let slice = try Self.check("read", path) { error in
            key.withCharacters {
                rocksdb_get_pinned_cf(
                    db, family == .blocks ? blockReads : verifiedReads, handle(family), $0,
                    key.count, error)
            }
        }
        return slice.map { PinnedValue($0) }
    }

    /// Calls `body` for every entry whose key starts with `prefix`, in key order, until it
    /// returns false. With `verifying`, RocksDB checks its own checksums too, also on `blocks`.
    package func forEach(
        _ family: ColumnFamily, prefix: [UInt8], from start: [UInt8]? = nil,
        verifying: Bool = false,
        _ body: (_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) throws -> Bool
    ) throws {
        let reads: OpaquePointer = rocksdb_readoptions_create()
        defer { rocksdb_readoptions_destroy(reads) }
        rocksdb_readoptions_set_verify_checksums(reads, family != .blocks || verifying ? 1 : 0)
        rocksdb_readoptions_set_fill_cache(reads, 0)
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
        var entries: UInt64 = 0
        let status = rocksdb_property_int_cf(
            db, handle(family), "rocksdb.num-entries-active-mem-table", &entries)
        return status == 0 && entries == 0
    }

    /// Bytes of all live table files.
    package func liveFileBytes() -> UInt64 {
        guard let files = rocksdb_livefiles(db) else { return 0 }
        defer { rocksdb_livefiles_destroy(files) }
        return (0..<rocksdb_livefiles_count(files)).reduce(0) {
            $0 + UInt64(rocksdb_livefiles_size(files, $1))
        }
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
        try withCStrings(files) { names in
            try Self.check("attach new blocks to", path) { error in
                rocksdb_ingest_external_file_cf(
                    db, handle(family), names, files.count, options, error)
            }
        }
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

/// A value that RocksDB keeps in place until this handle goes away.
package struct PinnedValue: ~Copyable {
    private let slice: OpaquePointer

    fileprivate init(_ slice: OpaquePointer) { self.slice = slice }

    deinit { rocksdb_pinnableslice_destroy(slice) }

    /// The bytes; the pointer is valid within `body` only.
    package borrowing func withBytes<R>(
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) rethrows -> R {
        var count = 0
        let start = rocksdb_pinnableslice_value(slice, &count)
        return try body(UnsafeRawBufferPointer(start: start, count: count))
    }
}

/// Puts and deletes that become visible together.
package final class WriteBatch {
    let handle: OpaquePointer = rocksdb_writebatch_create()
    private let store: RocksStore
    /// Bytes of keys and values put so far: when to write it out.
    package private(set) var byteCount = 0

    package init(_ store: RocksStore) { self.store = store }

    deinit { rocksdb_writebatch_destroy(handle) }

    package func put(_ family: ColumnFamily, _ key: [UInt8], _ value: [UInt8]) {
        byteCount += key.count + value.count
        key.withCharacters { k in
            value.withCharacters { v in
                rocksdb_writebatch_put_cf(
                    handle, store.handle(family), k, key.count, v, value.count)
            }
        }
    }

    package func delete(_ family: ColumnFamily, _ key: [UInt8]) {
        byteCount += key.count
        key.withCharacters {
            rocksdb_writebatch_delete_cf(handle, store.handle(family), $0, key.count)
        }
    }

    package func deleteRange(_ family: ColumnFamily, from start: [UInt8], to end: [UInt8]) {
        start.withCharacters { s in
            end.withCharacters { e in
                rocksdb_writebatch_delete_range_cf(
                    handle, store.handle(family), s, start.count, e, end.count)
            }
        }
    }

    package func clear() {
        rocksdb_writebatch_clear(handle)
        byteCount = 0
    }
}

extension [UInt8] {
    /// RocksDB's C interface takes `char *`.
    fileprivate func withCharacters<R>(_ body: (UnsafePointer<CChar>?) throws -> R) rethrows -> R {
        try withUnsafeBytes { try body($0.baseAddress?.assumingMemoryBound(to: CChar.self)) }
    }
}

/// Calls `body` with an array of C strings.
func withCStrings<R>(
    _ strings: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) throws -> R
) rethrows -> R {
    // One buffer for all: every string with its terminating zero.
    var characters: [CChar] = []
    var offsets: [Int] = []
    for string in strings {
        offsets.append(characters.count)
        characters.append(contentsOf: string.utf8CString)
    }
    return try characters.withUnsafeBufferPointer { buffer in
        let pointers: [UnsafePointer<CChar>?] = offsets.map { offset in
            buffer.baseAddress.map { $0 + offset }
        }
        return try pointers.withUnsafeBufferPointer { list in
            guard let start = list.baseAddress else { preconditionFailure("no strings") }
            return try body(start)
        }
    }
}
