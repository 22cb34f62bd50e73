// Fork and join on threads that belong to the call: blocking I/O and kernels must not run on the
// cooperative pool. Starting a thread takes tens of microseconds, a unit of work milliseconds.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// A flag that stops long work from outside, a signal handler for one.
public final class Cancellation: Sendable {
    private let flag = Atomic<Bool>(false)

    public init() {}

    public func cancel() { flag.store(true, ordering: .relaxed) }

    /// For the next piece of work, when the one that was stopped has ended.
    package func reset() { flag.store(false, ordering: .relaxed) }

    public var isCancelled: Bool { flag.load(ordering: .relaxed) }

    /// - Throws: `.interrupted` once `cancel` has been called.
    package func check() throws {
        if isCancelled { throw GradDBError.interrupted }
    }
}

extension GradDBError {
    /// What stopped work throws.
    package static var interrupted: GradDBError {
        GradDBError(.interrupted, "interrupted; nothing was changed")
    }
}

package enum Parallel {
    /// Calls `body` for every index below `count`, in ascending order of start, on `threads`
    /// threads (the caller's among them). `worker` (below `threads`) names the thread's scratch
    /// space. After a failure no further index is started; of several failures the one with the
    /// smallest index is thrown, so that what is reported does not depend on timing.
    package static func forEach(
        _ count: Int, threads: Int,
        _ body: @escaping @Sendable (_ index: Int, _ worker: Int) throws -> Void
    ) throws {
        let workers = max(1, min(threads, count))
        let state = ForkState()
        @Sendable func work(_ worker: Int) {
            while let index = state.take(below: count) {
                do {
                    try body(index, worker)
                } catch {
                    state.fail(index, error)
                }
            }
        }
        let helpers = (1..<workers).map { worker in BackgroundTask { work(worker) } }
        work(0)
        for helper in helpers { try helper.wait() }
        try state.rethrow()
    }

    /// What `body` gives for every index below `count`, in the order of the indices; failures as
    /// for `forEach`.
    package static func map<Value: Sendable>(
        _ count: Int, threads: Int, _ body: @escaping @Sendable (_ index: Int) throws -> Value
    ) throws -> [Value] {
        let slots = Slots<Value>(count)
        try forEach(count, threads: threads) { index, _ in slots.values[index] = try body(index) }
        return slots.values.compactMap { $0 }
    }

    /// Room for results. Each place is written to by the one thread that has its index, and read
    /// after all threads have ended.
    private final class Slots<Value: Sendable>: @unchecked Sendable {
        let values: UnsafeMutableBufferPointer<Value?>

        init(_ count: Int) {
            values = .allocate(capacity: count)
            values.initialize(repeating: nil)
        }

        deinit {
            values.deinitialize()
            values.deallocate()
        }
    }

    private final class ForkState: Sendable {
        private let next = Atomic<Int>(0)
        private let stopped = Atomic<Bool>(false)
        private let failure = Mutex<(index: Int, error: any Error)?>(nil)

        func take(below count: Int) -> Int? {
            guard !stopped.load(ordering: .relaxed) else { return nil }
            let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
            return index < count ? index : nil
        }

        func fail(_ index: Int, _ error: any Error) {
            stopped.store(true, ordering: .relaxed)
            failure.withLock { failure in
                if failure.map({ index < $0.index }) ?? true { failure = (index, error) }
            }
        }

        func rethrow() throws {
            if let failure = failure.withLock({ $0 }) { throw failure.error }
        }
    }
}
