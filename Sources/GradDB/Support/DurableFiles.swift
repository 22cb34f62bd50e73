// Files that must be there, whole, after a power loss: bytes are synced before names, names before
// anything that counts on them.

#if canImport(Glibc)
    import Glibc
#endif

package enum DurableFiles {
    /// The failure of the system call that has just failed.
    package static func failure(_ action: String, _ path: String) -> GradDBError {
        let code = errno
        let remedy =
            code == ENOSPC || code == EDQUOT ? "; free some space and run the command again" : ""
        return GradDBError(
            .io, "cannot \(action) \(path): \(String(cString: strerror(code)))\(remedy)")
    }

    /// Makes a file with these bytes, synced; its name is not.
    package static func write(_ bytes: [UInt8], to path: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw failure("make", path) }
        defer { close(file) }
        try append(bytes, to: file, path: path)
    }

    /// Writes bytes at the end of an open file, and syncs it.
    package static func append(_ bytes: [UInt8], to file: Int32, path: String) throws {
        try bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(
                    file, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw failure("write", path) }
                done += count
            }
        }
        guard fsync(file) == 0 else { throw failure("sync", path) }
    }

    /// The bytes of a file; nil where there is none.
    package static func read(_ path: String) throws -> [UInt8]? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw failure("read", path)
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0 else { throw failure("read", path) }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = try bytes.withUnsafeMutableBytes { try fill($0, from: file, path) }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    /// Reads until the buffer is full or the file ends; returns how many bytes there were.
    package static func fill(
        _ buffer: UnsafeMutableRawBufferPointer, from file: Int32, _ path: String
    ) throws -> Int {
        var done = 0
        while done < buffer.count {
            let count = Glibc.read(
                file, buffer.baseAddress.map { $0 + done }, buffer.count - done)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("read", path) }
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Makes the names in a directory durable.
    package static func syncDirectory(_ path: String) throws {
        let directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw failure("open", path) }
        defer { close(directory) }
        guard fsync(directory) == 0 else { throw failure("sync", path) }
    }

    /// Makes a directory in one that is there; true when it was not there before.
    @discardableResult
    package static func makeDirectory(_ path: String) throws -> Bool {
        if mkdir(path, 0o755) == 0 { return true }
        guard errno == EEXIST else { throw failure("make the directory", path) }
        return false
    }

    /// Gives a file a second name; copies it, synced, where the file system has no such names.
    package static func link(_ path: String, to other: String) throws {
        if Glibc.link(path, other) == 0 { return }
        let code = errno
        guard [EPERM, EOPNOTSUPP, ENOSYS, EXDEV, EMLINK].contains(code) else {
            throw failure("link \(path) to", other)
        }
        let source = open(path, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw failure("read", path) }
        defer { close(source) }
        let target = open(other, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard target >= 0 else { throw failure("make", other) }
        defer { close(target) }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try fill($0, from: source, path) }
            guard count > 0 else { return }
            try append(Array(buffer[..<count]), to: target, path: other)
        }
    }
}
