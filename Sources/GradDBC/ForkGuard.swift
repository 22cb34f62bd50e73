// What a child of fork() may do. RocksDB flushes and compacts on threads of its own, which stay with
// the parent: a child that waited for them, in a commit or when it exits, would wait for ever.

import GradDB
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

enum ForkGuard {
    /// The process that was the first to write, so that it has RocksDB's threads; 0 before that.
    private static let writer = Atomic<Int32>(0)

    /// To be called before RocksDB is opened for the first time.
    static func install() { _ = installed }

    private static let installed: Void = {
        _ = pthread_atfork(nil, nil) {
            guard ForkGuard.writer.load(ordering: .relaxed) != 0 else { return }
            // Runs before RocksDB's own exit handlers, and instead of them.
            on_exit(
                { status, _ in
                    fflush(nil)
                    _exit(status)
                }, nil)
        }
    }()

    /// - Throws: `.failed` in the child of a process that has written.
    static func requireOwnThreads() throws {
        let own = getpid()
        let (_, first) = writer.compareExchange(expected: 0, desired: own, ordering: .relaxed)
        guard first == 0 || first == own else {
            throw GradDBError(
                .failed,
                "this process was forked from one that had written to a database, where the threads "
                    + "that write have stayed; write in processes that are started anew (in Python: "
                    + "multiprocessing.get_context(\"spawn\"))")
        }
    }
}
