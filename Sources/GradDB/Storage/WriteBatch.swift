// Changes that become visible together.

import CRocksDB

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

    /// Deletes a range of blocks at once. Records have to be deleted one by one: where a file cannot be
    /// opened (a reader may find it gone) and a newer one at level 0 deletes ranges, iterators of RocksDB 7.8
    /// free the newer one's twice.
    package func deleteBlocks(from start: [UInt8], to end: [UInt8]) {
        start.withCharacters { s in
            end.withCharacters { e in
                rocksdb_writebatch_delete_range_cf(
                    handle, store.handle(.blocks), s, start.count, e, end.count)
            }
        }
    }

    package func clear() {
        rocksdb_writebatch_clear(handle)
        byteCount = 0
    }
}
