// Writes a file front to back and hashes it on the way, a MiB at a time. The last eight bytes are the
// checksum of all before them.

#if canImport(Glibc)
    import Glibc
#endif

/// Writes a file. Nothing is at its place before `finish`.
final class HashedFileWriter {
    private let path: String
    private let partialPath: String
    private let limits: FileLimits
    private let descriptor: Int32
    private var hash: PieceHash
    private var buffer: [UInt8] = []
    private(set) var byteCount: UInt64 = 0
    private var isFinished = false

    /// - Parameter partialPath: where it is while it is being written, on the same file system.
    init(_ path: String, writing partialPath: String, limits: FileLimits) throws {
        self.path = path
        self.partialPath = partialPath
        self.limits = limits
        hash = PieceHash(try KernelSet.chosen())
        descriptor = open(partialPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw DurableFiles.failure("make", partialPath) }
        buffer.reserveCapacity(PieceHash.pieceBytes)
    }

    deinit {
        guard !isFinished else { return }
        if descriptor >= 0 {
            close(descriptor)
            unlink(partialPath)
        }
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = min(rest.count, PieceHash.pieceBytes - buffer.count)
            buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
            rest = rest.dropFirst(count)
            if buffer.count == PieceHash.pieceBytes { try writePiece() }
        }
    }

    func append(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try append($0) } }

    private func writePiece() throws {
        buffer.withUnsafeBytes { hash.append($0) }
        try writeBuffer()
    }

    private func writeBuffer() throws {
        try limits.rate.take(buffer.count, cancellation: limits.cancellation)
        try buffer.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(
                    descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw DurableFiles.failure("write", path) }
                done += count
            }
        }
        byteCount += UInt64(buffer.count)
        buffer.removeAll(keepingCapacity: true)
    }

    /// Puts the file, whole and synced, in its place; its name is not synced. Returns its checksum.
    func finish() throws -> UInt64 {
        if !buffer.isEmpty { try writePiece() }
        let checksum = hash.value
        buffer.append(littleEndian: checksum)
        try writeBuffer()
        guard fsync(descriptor) == 0 else { throw DurableFiles.failure("sync", path) }
        guard rename(partialPath, path) == 0 else { throw DurableFiles.failure("make", path) }
        isFinished = true
        close(descriptor)
        return checksum
    }
}
