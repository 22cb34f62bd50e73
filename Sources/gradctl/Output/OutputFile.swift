// A file that is there whole or not at all: it is written beside its place, synced, and renamed. If
// anything fails before, or the user interrupts, nothing is left of it.

import GradDB

#if canImport(Glibc)
    import Glibc
#endif

final class OutputFile: TextOutput {
    private let path: String
    private let partialPath: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var isFinished = false

    private static let bufferBytes = 1 << 16

    /// Begins a file; nothing is at `path` until `finish`.
    ///
    /// - Throws: `.io`, also where something lies there that is no file.
    init(_ path: String) throws {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
            throw GradDBError(.io, "cannot write \(path): it is no regular file")
        }
        self.path = path
        partialPath = "\(path).\(getpid()).partial"
        descriptor = open(partialPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw DurableFiles.failure("write", path) }
    }

    deinit {
        guard !isFinished else { return }
        close(descriptor)
        unlink(partialPath)
    }

    func write(_ text: String) throws { try write(text.utf8) }

    /// Adds bytes at the end.
    func write(_ bytes: some Sequence<UInt8>) throws {
        try Interruption.cancellation.check()
        buffer.append(contentsOf: bytes)
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    /// Writes bytes at an offset; those added by the other `write` come before all of them.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        try Interruption.cancellation.check()
        try flush()
        var done = 0
        while done < bytes.count {
            let count = pwrite(
                descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done,
                off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw DurableFiles.failure("write", path) }
            done += count
        }
    }

    private func flush() throws {
        var done = 0
        try buffer.withUnsafeBytes { bytes in
            while done < bytes.count {
                let count = Glibc.write(
                    descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw DurableFiles.failure("write", path) }
                done += count
            }
        }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Puts the file, whole, in its place.
    func finish() throws {
        try Interruption.cancellation.check()
        try flush()
        guard fsync(descriptor) == 0 else { throw DurableFiles.failure("sync", path) }
        guard rename(partialPath, path) == 0 else { throw DurableFiles.failure("write", path) }
        isFinished = true
        close(descriptor)
        try DurableFiles.syncName(of: path)
    }
}
