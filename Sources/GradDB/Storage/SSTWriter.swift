// Writes one sorted table file of vector blocks outside the database, to be attached later.

import CRocksDB

package final class SSTWriter {
    package let path: String
    private let writer: OpaquePointer
    private let options: OpaquePointer
    private let environment: OpaquePointer

    /// Creates the file; keys must come in ascending order.
    package init(path: String) throws {
        self.path = path
        options = rocksdb_options_create()
        RocksOptions.configureVectors(options)
        environment = rocksdb_envoptions_create()
        writer = rocksdb_sstfilewriter_create(environment, options)
        try RocksStore.check("create", path) { error in
            rocksdb_sstfilewriter_open(writer, path, error)
        }
    }

    deinit {
        rocksdb_sstfilewriter_destroy(writer)
        rocksdb_envoptions_destroy(environment)
        rocksdb_options_destroy(options)
    }

    package func put(_ key: [UInt8], _ value: UnsafeRawBufferPointer) throws {
        try key.withUnsafeBytes { key in
            try RocksStore.check("write", path) { error in
                rocksdb_sstfilewriter_put(
                    writer, key.baseAddress?.assumingMemoryBound(to: CChar.self), key.count,
                    value.baseAddress?.assumingMemoryBound(to: CChar.self), value.count, error)
            }
        }
    }

    package var fileBytes: UInt64 {
        var size: UInt64 = 0
        rocksdb_sstfilewriter_file_size(writer, &size)
        return size
    }

    /// Completes and syncs the file.
    package func finish() throws {
        try RocksStore.check("finish", path) { error in
            rocksdb_sstfilewriter_finish(writer, error)
        }
    }
}
