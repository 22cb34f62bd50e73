// A lock between processes: the kernel lets go of it when its holder ends, however that happens.

#if canImport(Glibc)
    import Glibc
#endif

/// Held until it goes away. Two of one process are strangers to each other, too.
package final class FileLock {
    package enum Mode { case shared, exclusive }

    private let descriptor: Int32

    /// Takes the lock of the file at `path`, which is made where there is none. Tries for a moment:
    /// a process that was killed may not be quite gone, and to look whether a lock is free takes it.
    ///
    /// Nil where another holds it.
    package init?(_ path: String, _ mode: Mode, patienceSeconds: Double = 2) throws {
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw DurableFiles.failure("lock", path) }
        let operation = (mode == .shared ? LOCK_SH : LOCK_EX) | LOCK_NB
        var pauses = Int(patienceSeconds * 50)
        while flock(descriptor, operation) != 0 {
            guard errno == EWOULDBLOCK || errno == EINTR else {
                throw DurableFiles.failure("lock", path)
            }
            guard pauses > 0 else { return nil }
            pauses -= 1
            usleep(20_000)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// Whether the file that is locked is still the one at a path: whoever had the lock before may have
    /// removed or renamed it.
    package func isOf(_ path: String) -> Bool {
        var locked = stat()
        var found = stat()
        return fstat(descriptor, &locked) == 0 && stat(path, &found) == 0
            && locked.st_dev == found.st_dev && locked.st_ino == found.st_ino
    }

    /// Whether someone holds the lock right now; a file that is not there is not locked.
    package static func isHeld(_ path: String) -> Bool {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return false }
        defer { close(file) }
        return flock(file, LOCK_EX | LOCK_NB) != 0
    }
}
