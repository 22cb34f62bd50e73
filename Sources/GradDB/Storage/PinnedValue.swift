// A stored value that stays where it is while somebody looks at it.

import CRocksDB

/// A value that is kept in place until this handle goes away: RocksDB's, or a part of a mapped file.
package struct PinnedValue: ~Copyable {
    private enum Place {
        case slice(OpaquePointer)
        /// The bytes are a part of the file's.
        case file(MappedFile, UnsafeRawBufferPointer)
    }

    private let place: Place

    init(_ slice: OpaquePointer) { place = .slice(slice) }

    init(_ bytes: UnsafeRawBufferPointer, in file: MappedFile) { place = .file(file, bytes) }

    deinit {
        if case .slice(let slice) = place { rocksdb_pinnableslice_destroy(slice) }
    }

    /// The bytes; the pointer is valid within `body` only.
    package borrowing func withBytes<R>(
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) rethrows -> R {
        switch place {
        case .slice(let slice):
            var count = 0
            let start = rocksdb_pinnableslice_value(slice, &count)
            return try body(UnsafeRawBufferPointer(start: start, count: count))
        case .file(let file, let bytes):
            return try withExtendedLifetime(file) { try body(bytes) }
        }
    }
}
