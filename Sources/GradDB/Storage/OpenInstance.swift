// RocksDB's handles of one open instance: opening, what files there are, closing.

import CRocksDB

#if canImport(Glibc)
    import Glibc
#endif

/// A RocksDB instance and its column families. Whoever holds it closes it.
struct OpenInstance {
    let db: OpaquePointer
    let families: [ColumnFamily: OpaquePointer]

    init(_ path: String, _ mode: RocksStore.Mode, _ options: RocksOptions) throws {
        try PropertiesMark.check(database: path)
        let names = ColumnFamily.allCases
        var handles = [OpaquePointer?](repeating: nil, count: names.count)
        let familyOptions: [OpaquePointer?] = names.map { options.family($0) }
        let opened = try withCStrings(names.map(\.rawValue)) { cNames in
            try RocksStore.check("open the database", path) { error in
                mode.isReading
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
    }

    func close() {
        for handle in families.values { rocksdb_column_family_handle_destroy(handle) }
        rocksdb_close(db)
    }

    func handle(_ family: ColumnFamily) -> OpaquePointer {
        // Every family of the enumeration was opened, or init threw.
        guard let handle = families[family] else { preconditionFailure("family not open") }
        return handle
    }

    /// Whether nothing of a family is in memory only: after opening, whether its log was empty.
    func isMemtableEmpty(_ family: ColumnFamily) -> Bool {
        var entries: UInt64 = 0
        let status = rocksdb_property_int_cf(
            db, handle(family), "rocksdb.num-entries-active-mem-table", &entries)
        return status == 0 && entries == 0
    }

    /// All table files that the manifest lists.
    func liveFiles(_ path: String) -> [LiveFile] {
        guard let files = rocksdb_livefiles(db) else { return [] }
        defer { rocksdb_livefiles_destroy(files) }
        func key(_ pointer: UnsafePointer<CChar>?, _ count: Int) -> [UInt8] {
            [UInt8](UnsafeRawBufferPointer(start: pointer, count: pointer == nil ? 0 : count))
        }
        return (0..<rocksdb_livefiles_count(files)).compactMap { index in
            guard let name = rocksdb_livefiles_name(files, index),
                let family = rocksdb_livefiles_column_family_name(files, index)
            else { return nil }
            var count = 0
            let smallest = rocksdb_livefiles_smallestkey(files, index, &count)
            let smallestKey = key(smallest, count)
            let largest = rocksdb_livefiles_largestkey(files, index, &count)
            // RocksDB's name begins with a slash.
            return LiveFile(
                family: String(cString: family), path: path + String(cString: name),
                bytes: rocksdb_livefiles_size(files, index), smallest: smallestKey,
                largest: key(largest, count))
        }
    }

    /// Makes RocksDB open the files of records, so that none can be taken from under a reader. What
    /// is wrong with one is said when it is read.
    ///
    /// - Throws: `.corrupt` for a file that is gone: a writer may have put others in its place.
    func openRecordFiles(_ files: [LiveFile]) throws {
        let reads: OpaquePointer = rocksdb_readoptions_create()
        defer { rocksdb_readoptions_destroy(reads) }
        rocksdb_readoptions_set_verify_checksums(reads, 1)
        // See `WriteBatch.deleteBlocks`: here files may be gone.
        rocksdb_readoptions_set_ignore_range_deletions(reads, 1)
        for family in ColumnFamily.records {
            for file in files where file.family == family.rawValue {
                // An iterator that is placed at a file's first key has opened the file.
                let iterator: OpaquePointer = rocksdb_create_iterator_cf(db, reads, handle(family))
                defer { rocksdb_iter_destroy(iterator) }
                file.smallest.withCharacters {
                    rocksdb_iter_seek(iterator, $0, file.smallest.count)
                }
                let hasFailed = rocksdb_iter_valid(iterator) == 0
                guard hasFailed, access(file.path, F_OK) != 0 else { continue }
                throw GradDBError.corrupt(
                    "cannot open \(file.path); a file of the database is missing: restore it from a "
                        + "backup")
            }
        }
    }
}
