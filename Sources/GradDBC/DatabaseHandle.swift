// The database behind a handle: a reader that is opened again when somebody has committed, and
// writers that are opened for one commit each.

import GradDB
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

final class DatabaseHandle: Sendable {
    let path: String
    private let state: Mutex<State>
    private let lockTimeout = Mutex(5.0)
    /// What devices keep of it.
    let kept = KeptObjects()

    private struct State {
        var reader: Database
        /// As it was before the reader was opened: a commit in between is then seen next time.
        var mark: DatabaseMark
    }

    init(path: String) throws {
        // Relative paths must not begin to mean something else when the process changes directory.
        let path =
            path.hasPrefix("/")
            ? path : FileManager.default.currentDirectoryPath + "/" + path
        self.path = path
        ForkGuard.install()
        let mark = DatabaseMark(path)
        state = Mutex(State(reader: try Database(path: path), mark: mark))
    }

    /// What is committed by now. Who holds an older one keeps it.
    func reader() throws -> Database {
        try state.withLock { state in
            let mark = DatabaseMark(path)
            if mark != state.mark {
                state.reader = try Database(path: path)
                state.mark = mark
            }
            return state.reader
        }
    }

    func table(_ name: String) throws -> Table { try reader().table(name) }

    /// What calls that are under way still need stays until they are done.
    func close() { kept.close() }

    // MARK: writing

    func setLockTimeout(_ seconds: Double) { lockTimeout.withLock { $0 = seconds } }

    /// Runs `body` with the database's lock, for which it waits a while.
    func write<R>(
        _ cancellation: Cancellation = Cancellation(), _ body: (DatabaseWriter) throws -> R
    ) throws -> R {
        try ForkGuard.requireOwnThreads()
        let deadline = ContinuousClock.now + .seconds(lockTimeout.withLock { $0 })
        while true {
            do {
                return try body(try DatabaseWriter(path: path))
            } catch let error as GradDBError where error.kind == .locked {
                guard ContinuousClock.now < deadline else { throw error }
                try cancellation.check()
                usleep(10_000)
            }
        }
    }
}

/// Changes whenever something is committed: a commit ends with RocksDB listing new files in its
/// manifest, and begins, where it attaches blocks, with the same.
private struct DatabaseMark: Equatable {
    private let manifest: String
    private let bytes: Int

    init(_ path: String) {
        let current = FileManager.default.contents(atPath: path + "/CURRENT") ?? Data()
        manifest = String(decoding: current, as: UTF8.self).filter { !$0.isNewline }
        var status = stat()
        bytes = stat(path + "/" + manifest, &status) == 0 ? status.st_size : 0
    }
}
