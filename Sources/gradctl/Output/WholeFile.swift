// A file that is there whole or not at all: written under another name, renamed when it is complete.
// What was there before stays until then.

import GradDB

#if canImport(Glibc)
    import Glibc
#endif

final class WholeFile {
    let path: String
    private let unfinishedPath: String
    private var file: Int32
    private var buffer: [UInt8] = []
    private var isFinished = false
    private static let bufferBytes = 1 << 16

    /// - Throws: `.io` where the file cannot be made.
    init(_ path: String) throws {
        self.path = path
        unfinishedPath = "\(path).unfinished-\(getpid())"
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
            throw GradDBError(.io, "cannot write \(path): it is a directory")
        }
        file = open(unfinishedPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw DurableFiles.failure("write", path) }
    }

    func write(_ text: String) throws { try write(Array(text.utf8)) }

    func write(_ bytes: [UInt8]) throws {
        buffer += bytes
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    private func flush() throws {
        var done = 0
        while done < buffer.count {
            let count = buffer.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress.map { $0 + done }, $0.count - done)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw DurableFiles.failure("write", path) }
            done += count
        }
        buffer.removeAll(keepingCapacity: true)
    }

    /// Gives the file its name.
    func finish() throws {
        try flush()
        guard fsync(file) == 0 else { throw DurableFiles.failure("sync", path) }
        guard rename(unfinishedPath, path) == 0 else { throw DurableFiles.failure("write", path) }
        isFinished = true
    }

    deinit {
        close(file)
        if !isFinished { unlink(unfinishedPath) }
    }
}
