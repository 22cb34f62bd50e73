// Compression of field columns and row maps.

import CZstd

package enum Zstd {
    package static func compress(_ bytes: [UInt8], level: Int32 = 3) throws -> [UInt8] {
        let bound = ZSTD_compressBound(bytes.count)
        var failure = 0
        let result = [UInt8](unsafeUninitializedCapacity: bound) { target, count in
            let size = ZSTD_compress(target.baseAddress, bound, bytes, bytes.count, level)
            failure = ZSTD_isError(size) != 0 ? size : 0
            count = failure == 0 ? size : 0
        }
        guard failure == 0 else {
            throw GradDBError(.failed, "zstd: \(String(cString: ZSTD_getErrorName(failure)))")
        }
        return result
    }

    /// Decompresses one frame that says its size, which must not exceed `limit`.
    package static func decompress(
        _ bytes: UnsafeRawBufferPointer, what: String, limit: Int = 1 << 30
    ) throws -> [UInt8] {
        let size = ZSTD_getFrameContentSize(bytes.baseAddress, bytes.count)
        // The two largest values mean "unknown" and "not a frame".
        guard size <= UInt64(limit) else {
            throw GradDBError.corrupt("\(what) is not a zstd frame of a plausible size")
        }
        let capacity = Int(size)
        var actual = 0
        let result = [UInt8](unsafeUninitializedCapacity: capacity) { target, count in
            actual = ZSTD_decompress(target.baseAddress, capacity, bytes.baseAddress, bytes.count)
            count = ZSTD_isError(actual) == 0 ? actual : 0
        }
        guard ZSTD_isError(actual) == 0, actual == capacity else {
            throw GradDBError.corrupt("\(what) does not decompress")
        }
        return result
    }
}
