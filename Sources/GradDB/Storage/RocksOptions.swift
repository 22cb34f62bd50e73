// RocksDB's settings, each with its reason. Owned by the store that uses them.

import CRocksDB
import CRocksFiles

#if canImport(Glibc)
    import Glibc
#endif

/// Option objects for one open database.
final class RocksOptions {
    let database: OpaquePointer
    private let vectors: OpaquePointer
    private let records: OpaquePointer

    /// Files that RocksDB may have open. It opens them when they are first needed, and then keeps them
    /// open: of blocks there may be more than a process may have.
    static let mostOpenFiles: Int = {
        var limit = rlimit()
        let isKnown = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0
        return isKnown ? max(64, Int(clamping: min(limit.rlim_cur, 1 << 20)) / 2) : 512
    }()

    /// Makes RocksDB open all files when it opens the database, and lets the process have as many open
    /// as the system allows.
    func openAllFiles() {
        rocksdb_options_set_max_open_files(database, -1)
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// RocksDB's number for XXH3, which its C interface does not name.
    private static let xxh3: CChar = 4

    init(mode: RocksStore.Mode) {
        database = rocksdb_options_create()
        vectors = rocksdb_options_create()
        records = rocksdb_options_create()
        configureDatabase(mode)
        Self.configureVectors(vectors)
        configureRecords()
    }

    deinit {
        rocksdb_options_destroy(database)
        rocksdb_options_destroy(vectors)
        rocksdb_options_destroy(records)
    }

    func family(_ family: ColumnFamily) -> OpaquePointer {
        family == .blocks ? vectors : records
    }

    private func configureDatabase(_ mode: RocksStore.Mode) {
        rocksdb_options_set_create_if_missing(database, mode == .creating ? 1 : 0)
        rocksdb_options_set_error_if_exists(database, mode == .creating ? 1 : 0)
        rocksdb_options_set_create_missing_column_families(database, mode == .creating ? 1 : 0)
        rocksdb_options_set_max_open_files(database, Int32(Self.mostOpenFiles))
        rocksdb_options_set_allow_mmap_reads(database, mode.isReading ? 1 : 0)
        // On by default, and it makes a cold mmap scan 25 times slower.
        rocksdb_options_set_advise_random_on_open(database, 0)
        // One file that is missing or cut short should not hide what the others hold.
        rocksdb_options_set_paranoid_checks(database, mode == .inspecting ? 0 : 1)
        rocksdb_options_set_skip_stats_update_on_db_open(database, 1)
        // Nothing goes to RocksDB's diary: after one write to it has failed (a full disk), the next
        // ends in an assertion. What fails is reported.
        rocksdb_options_set_info_log_level(database, 4)
        rocksdb_options_set_keep_log_file_num(database, 2)
        // A reader beside a long ingest replays the log: it must stay short.
        rocksdb_options_set_max_total_wal_size(database, 128 << 20)
        if mode.isReading {
            // A reader must leave no trace, not even a LOG file: RocksDB goes on without a log
            // when it cannot make one, and nothing can be made under /dev/null.
            rocksdb_options_set_db_log_dir(database, "/dev/null")
        } else {
            gd_keep_files_in_order(database)
            gd_stop_at_errors(database)
        }
    }

    /// Vector blocks: bulk-loaded, never compressed, never cached by RocksDB, never compacted.
    static func configureVectors(_ options: OpaquePointer) {
        let table: OpaquePointer = rocksdb_block_based_options_create()
        defer { rocksdb_block_based_options_destroy(table) }
        rocksdb_block_based_options_set_no_block_cache(table, 1)
        rocksdb_block_based_options_set_checksum(table, Self.xxh3)
        rocksdb_options_set_block_based_table_factory(options, table)
        rocksdb_options_set_compression(options, Int32(rocksdb_no_compression))
        rocksdb_options_set_disable_auto_compactions(options, 1)
    }

    private func configureRecords() {
        let table: OpaquePointer = rocksdb_block_based_options_create()
        defer { rocksdb_block_based_options_destroy(table) }
        rocksdb_block_based_options_set_checksum(table, Self.xxh3)
        rocksdb_block_based_options_set_block_size(table, 16 << 10)
        // Most ids of an ingest are new: the filter answers that without reading.
        rocksdb_block_based_options_set_filter_policy(
            table, rocksdb_filterpolicy_create_bloom_full(10))
        rocksdb_options_set_block_based_table_factory(records, table)
        rocksdb_options_set_compression(records, Int32(rocksdb_zstd_compression))
        rocksdb_options_set_write_buffer_size(records, 32 << 20)
        // A short-lived writer must not stall on files that an earlier one left at level 0; the
        // commit compacts them itself when they are many.
        rocksdb_options_set_level0_slowdown_writes_trigger(records, 64)
        rocksdb_options_set_level0_stop_writes_trigger(records, 128)
    }
}
