// One POSIX thread for one piece of work.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// Work on a thread of its own, whose end can be waited for. Where the system has no thread to
/// give, the work is done by the caller, at once.
package final class BackgroundTask: Sendable {
    private final class Work: Sendable {
        let body: @Sendable () throws -> Void
        let outcome = Mutex<Result<Void, any Error>?>(nil)

        init(_ body: @escaping @Sendable () throws -> Void) { self.body = body }

        func run() {
            let result = Result { try body() }
            outcome.withLock { $0 = result }
        }
    }

    private let work: Work
    private let thread: pthread_t?

    package init(_ body: @escaping @Sendable () throws -> Void) {
        let work = Work(body)
        self.work = work
        thread = Self.start(work)
        if thread == nil { work.run() }
    }

    /// Work that is worth doing beside the caller's only: nil where the system has no thread.
    package init?(besides body: @escaping @Sendable () throws -> Void) {
        let work = Work(body)
        self.work = work
        guard let thread = Self.start(work) else { return nil }
        self.thread = thread
    }

    private static func start(_ work: Work) -> pthread_t? {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(work)
        let status = pthread_create(
            &thread, nil,
            { argument in
                if let argument {
                    Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().run()
                }
                return nil
            }, argument.toOpaque())
        guard status == 0 else {
            argument.release()
            return nil
        }
        return thread
    }

    /// Waits for the end and throws what the body threw. To be called exactly once.
    package func wait() throws {
        if let thread { pthread_join(thread, nil) }
        try work.outcome.withLock { $0 }?.get()
    }
}
