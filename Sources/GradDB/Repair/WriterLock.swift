// The lock that a writer of a database holds, without opening the database: RocksDB locks the file LOCK
// with a record lock, and so does this.

#if canImport(Glibc)
    import Glibc
#endif

/// Held until it goes away.
final class WriterLock {
    private let descriptor: Int32

    /// - Throws: `.locked` where a writer is at work; `.io`.
    init(database path: String) throws {
        let file = path + "/LOCK"
        descriptor = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw DurableFiles.failure("lock", file) }
        var lock = flock()
        lock.l_type = Int16(F_WRLCK)
        lock.l_whence = Int16(SEEK_SET)
        guard fcntl(descriptor, F_SETLK, &lock) == 0 else {
            let code = errno
            close(descriptor)
            guard code == EACCES || code == EAGAIN else {
                throw DurableFiles.failure("lock", file)
            }
            throw GradDBError(
                .locked,
                "\(path) is locked: another process is writing to it; wait until it has finished")
        }
    }

    deinit { close(descriptor) }
}
