// Files that must be there, whole, after a power loss: bytes are synced before names, names before
// anything that counts on them.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

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

    /// Makes all files and names in a directory durable, and those in its directories.
    package static func syncTree(_ path: String) throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            let child = "\(path)/\(name)"
            var status = stat()
            guard lstat(child, &status) == 0 else { throw failure("look at", child) }
            if status.st_mode & S_IFMT == S_IFDIR {
                try syncTree(child)
            } else if status.st_mode & S_IFMT == S_IFREG {
                let file = open(child, O_RDONLY | O_CLOEXEC)
                guard file >= 0 else { throw failure("open", child) }
                defer { close(file) }
                guard fsync(file) == 0 else { throw failure("sync", child) }
            }
        }
        try syncDirectory(path)
    }

    /// Gives two files or directories each other's names, at once.
    ///
    /// - Returns: false where the system cannot do that.
    package static func exchange(_ path: String, _ other: String) throws -> Bool {
        typealias Rename =
            @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) ->
            Int32
        // In the C library since 2.28, but not among what Swift sees of it.
        guard let symbol = dlsym(nil, "renameat2") else { return false }
        let rename = unsafeBitCast(symbol, to: Rename.self)
        let exchange: UInt32 = 2
        if rename(AT_FDCWD, path, AT_FDCWD, other, exchange) == 0 { return true }
        let code = errno
        guard [EINVAL, ENOSYS, EOPNOTSUPP].contains(code) else {
            throw failure("exchange \(path) with", other)
        }
        return false
    }

    /// Makes a directory in one that is there; true when it was not there before.
    @discardableResult
    package static func makeDirectory(_ path: String) throws -> Bool {
        if mkdir(path, 0o755) == 0 { return true }
        guard errno == EEXIST else { throw failure("make the directory", path) }
        return false
    }

    /// Makes a directory and those above it that are missing, with durable names.
    package static func makeDirectories(_ path: String) throws {
        guard mkdir(path, 0o755) != 0 else { return try syncName(of: path) }
        let code = errno
        let above = parent(of: path)
        switch code {
        // Whoever made it may have been stopped before its name was durable.
        case EEXIST, EISDIR: try syncName(of: path)
        case ENOENT where above != path:
            try makeDirectories(above)
            try makeDirectory(path)
            try syncName(of: path)
        default:
            // Some systems look at permissions before they look whether it is there.
            var status = stat()
            guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
                errno = code
                throw failure("make the directory", path)
            }
        }
    }

    /// Makes the name that a file or directory has durable, where we may look at the directory
    /// that it is in.
    package static func syncName(of path: String) throws {
        let directory = parent(of: path)
        guard access(directory, R_OK) == 0 || isDiskFailure(errno) else { return }
        try syncDirectory(directory)
    }

    /// The directory that holds what a path names.
    package static func parent(of path: String) -> String {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true).dropLast()
        return (path.hasPrefix("/") ? "/" : "./") + parts.joined(separator: "/")
    }

    /// Whether a system call failed because of the disk: elsewhere it would fail as well.
    package static func isDiskFailure(_ code: Int32) -> Bool {
        [EIO, ENOSPC, EDQUOT].contains(code)
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
