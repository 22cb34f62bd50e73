// Reads a file front to back and hashes it on the way, a MiB at a time, to compare that with the
// checksum in its last eight bytes.

#if canImport(Glibc)
    import Glibc
#endif

/// Reads a file whose last eight bytes are its checksum.
final class HashedFileReader {
    let path: String
    /// Of the whole file, its checksum with them.
    let byteCount: UInt64
    private let limits: FileLimits
    private let descriptor: Int32
    private var hash: PieceHash
    private var piece = [UInt8](repeating: 0, count: PieceHash.pieceBytes)
    /// What of `piece` was read and not yet taken.
    private var unread = 0..<0
    /// Bytes before the checksum that were not read yet.
    private var left: UInt64

    /// Nil where there is no such file.
    ///
    /// - Throws: `.corrupt` where it is too short to have a checksum, `.io`.
    init?(_ path: String, limits: FileLimits) throws {
        self.path = path
        self.limits = limits
        let kernels = try KernelSet.chosen()
        hash = PieceHash(kernels)
        left = 0
        var bytes: UInt64 = 0
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor >= 0 {
            var status = stat()
            guard fstat(descriptor, &status) == 0 else {
                throw DurableFiles.failure("read", path)
            }
            guard status.st_mode & S_IFMT == S_IFREG else {
                throw GradDBError.corrupt("\(path) is not a file")
            }
            bytes = UInt64(status.st_size)
        } else if errno != ENOENT, errno != ENOTDIR {
            throw DurableFiles.failure("read", path)
        }
        byteCount = bytes
        guard descriptor >= 0 else { return nil }
        guard bytes >= UInt64(ObjectHeader.trailerBytes) else {
            throw GradDBError.corrupt("\(path) is cut off")
        }
        left = bytes - UInt64(ObjectHeader.trailerBytes)
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Bytes before the checksum that were not taken yet.
    var remaining: UInt64 { left + UInt64(unread.count) }

    /// - Throws: `.corrupt` where the file has fewer bytes.
    func take(into target: UnsafeMutableRawBufferPointer) throws {
        guard UInt64(target.count) <= remaining else {
            throw GradDBError.corrupt("\(path) ends too early")
        }
        var done = 0
        while done < target.count {
            if unread.isEmpty { try readPiece() }
            let count = min(unread.count, target.count - done)
            piece.withUnsafeBytes { piece in
                let part = piece[unread.lowerBound..<unread.lowerBound + count]
                UnsafeMutableRawBufferPointer(rebasing: target[done..<done + count])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
            }
            unread = unread.lowerBound + count..<unread.upperBound
            done += count
        }
    }

    func take(_ count: Int) throws -> [UInt8] {
        guard UInt64(count) <= remaining else {
            throw GradDBError.corrupt("\(path) ends too early")
        }
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try take(into: $0) }
        return bytes
    }

    private func readPiece() throws {
        let count = Int(min(left, UInt64(PieceHash.pieceBytes)))
        try limits.rate.take(count, cancellation: limits.cancellation)
        try piece.withUnsafeMutableBytes { piece in
            let target = UnsafeMutableRawBufferPointer(rebasing: piece[..<count])
            guard try DurableFiles.fill(target, from: descriptor, path) == count, count > 0 else {
                throw GradDBError.corrupt("\(path) ends too early")
            }
            hash.append(UnsafeRawBufferPointer(target))
        }
        left -= UInt64(count)
        unread = 0..<count
    }

    /// Reads what is left, and verifies the checksum at the end.
    ///
    /// - Throws: `.corrupt`.
    func finish() throws -> UInt64 {
        while left > 0 { try readPiece() }
        let stored = try storedChecksum()
        guard stored == hash.value else {
            throw GradDBError.corrupt("\(path) is not what was written: its checksum fails")
        }
        return stored
    }

    /// What the last eight bytes say.
    func storedChecksum() throws -> UInt64 {
        var trailer: UInt64 = 0
        let count = pread(
            descriptor, &trailer, ObjectHeader.trailerBytes,
            off_t(byteCount) - off_t(ObjectHeader.trailerBytes))
        guard count == ObjectHeader.trailerBytes else {
            throw GradDBError.corrupt("\(path) ends too early")
        }
        return UInt64(littleEndian: trailer)
    }
}
