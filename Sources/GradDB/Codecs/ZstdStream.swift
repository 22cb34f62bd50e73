// zstd frames that are written or read piece by piece.

import CZstd

/// Compresses what it is given into one frame with a checksum, and hands the frame on.
package final class ZstdFrameWriter {
    private let context: OpaquePointer
    private var output = [UInt8](repeating: 0, count: ZSTD_CStreamOutSize())
    private let sink: (UnsafeRawBufferPointer) throws -> Void

    /// - Parameters:
    ///   - threads: where zstd can have them.
    ///   - sink: takes the frame, piece by piece.
    package init(threads: Int, sink: @escaping (UnsafeRawBufferPointer) throws -> Void) throws {
        guard let context = ZSTD_createCCtx() else {
            throw GradDBError(.failed, "there is no memory for zstd")
        }
        self.context = context
        self.sink = sink
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 3)
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
        // Refused by a library without threads: it does the work itself.
        if threads > 1 { ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, Int32(threads)) }
    }

    deinit { ZSTD_freeCCtx(context) }

    package func append(_ bytes: UnsafeRawBufferPointer) throws {
        try run(bytes, ZSTD_e_continue)
    }

    /// Ends the frame.
    package func finish() throws {
        try run(UnsafeRawBufferPointer(start: nil, count: 0), ZSTD_e_end)
    }

    private func run(_ bytes: UnsafeRawBufferPointer, _ mode: ZSTD_EndDirective) throws {
        var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
        while true {
            var left = 0
            let count = output.withUnsafeMutableBytes { output in
                var target = ZSTD_outBuffer(dst: output.baseAddress, size: output.count, pos: 0)
                left = ZSTD_compressStream2(context, &target, &input, mode)
                return target.pos
            }
            guard ZSTD_isError(left) == 0 else {
                throw GradDBError(.failed, "zstd: \(String(cString: ZSTD_getErrorName(left)))")
            }
            if count > 0 {
                try output.withUnsafeBytes {
                    try sink(UnsafeRawBufferPointer(rebasing: $0[..<count]))
                }
            }
            if mode == ZSTD_e_end ? left == 0 : input.pos == input.size { return }
        }
    }
}

/// Decompresses one frame, in bounded memory.
package final class ZstdFrameReader {
    private let context: OpaquePointer
    private var input = [UInt8](repeating: 0, count: 256 << 10)
    /// What of `input` was read and not yet decompressed.
    private var unread = 0..<0
    private let source: (UnsafeMutableRawBufferPointer) throws -> Int
    private let what: String
    private var isFrameOver = false

    /// - Parameters:
    ///   - what: what errors call the frame.
    ///   - source: fills a buffer and returns with how many bytes; 0 at the end.
    package init(
        what: String, source: @escaping (UnsafeMutableRawBufferPointer) throws -> Int
    ) throws {
        guard let context = ZSTD_createDCtx() else {
            throw GradDBError(.failed, "there is no memory for zstd")
        }
        self.context = context
        self.source = source
        self.what = what
        // A frame must not say how much memory it takes.
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 27)
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Fills a buffer as far as the frame goes, and returns with how many bytes.
    ///
    /// - Throws: `.badInput` for what is no frame, is damaged or cut off; what the source throws.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        var target = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
        while target.pos < buffer.count, !isFrameOver {
            let isAtEnd = try refill()
            let (given, made) = (unread, target.pos)
            let left = input.withUnsafeBytes { bytes in
                var piece = ZSTD_inBuffer(
                    src: bytes.baseAddress, size: unread.upperBound, pos: unread.lowerBound)
                let left = ZSTD_decompressStream(context, &target, &piece)
                unread = piece.pos..<unread.upperBound
                return left
            }
            guard ZSTD_isError(left) == 0 else {
                throw GradDBError.badInput(
                    "\(what) is damaged, or not an archive "
                        + "(zstd: \(String(cString: ZSTD_getErrorName(left))))")
            }
            if left == 0 {
                isFrameOver = true
            } else if isAtEnd, given == unread, made == target.pos {
                throw GradDBError.badInput("\(what) is cut off")
            }
        }
        return target.pos
    }

    /// Makes sure that nothing is left, of the frame or behind it.
    ///
    /// - Throws: `.badInput`, what the source throws.
    package func expectEnd() throws {
        var byte: UInt8 = 0
        let count = try withUnsafeMutableBytes(of: &byte) { try read(into: $0) }
        let isAtEnd = try refill()
        guard count == 0, isFrameOver, isAtEnd, unread.isEmpty else {
            throw GradDBError.badInput("\(what) has something behind its end")
        }
    }

    /// Reads more where there is nothing unread. True at the end of the source.
    private func refill() throws -> Bool {
        guard unread.isEmpty else { return false }
        let count = try input.withUnsafeMutableBytes { try source($0) }
        unread = 0..<count
        return count == 0
    }
}
