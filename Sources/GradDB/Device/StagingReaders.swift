// The threads that bring blocks into pinned memory: find, verify, copy.

/// Does pieces of work in the order in which they are given, on some threads.
final class StagingReaders: Sendable {
    /// Pieces of work that are waited for together.
    final class Batch: Sendable {
        fileprivate struct State {
            var left: Int
            var failure: (any Error)?
        }

        fileprivate let state: Monitor<State>

        fileprivate init(_ count: Int) { state = Monitor(State(left: count)) }

        /// Blocks until all of them have ended; throws what the first that failed threw.
        func wait() throws {
            let failure: (any Error)? = state.wait { $0.left == 0 ? .some($0.failure) : nil }
            if let failure { throw failure }
        }
    }

    private struct Work: Sendable {
        let batch: Batch
        let body: @Sendable () throws -> Void
    }

    private struct Queue {
        var work: [Work] = []
        var next = 0
        var isEnded = false
    }

    private let queue = Monitor(Queue())
    private let threads: Monitor<[BackgroundTask]>

    init(threads count: Int) {
        threads = Monitor([])
        let queue = queue
        let started = (0..<max(1, count)).map { _ in
            BackgroundTask(besides: { Self.run(queue) })
        }.compactMap { $0 }
        threads.withLock { $0 = started }
    }

    /// Gives work to the threads.
    func add(_ pieces: [@Sendable () throws -> Void]) -> Batch {
        let batch = Batch(pieces.count)
        let hasThreads = threads.withLock { !$0.isEmpty }
        queue.change { queue in
            // What has been begun is of no use here.
            queue.work.removeFirst(queue.next)
            queue.next = 0
            queue.work += pieces.map { Work(batch: batch, body: $0) }
        }
        // A system without threads to give: the caller does it.
        if !hasThreads { Self.run(queue, untilEmpty: true) }
        return batch
    }

    /// Ends the threads; what has not been begun is left out.
    func stop() {
        queue.change { $0.isEnded = true }
        for thread in threads.withLock({ threads in
            defer { threads = [] }
            return threads
        }) { try? thread.wait() }
    }

    private static func run(_ queue: Monitor<Queue>, untilEmpty: Bool = false) {
        while true {
            let work: Work?? = queue.wait { queue in
                if queue.isEnded { return .some(nil) }
                guard queue.next < queue.work.count else { return untilEmpty ? .some(nil) : nil }
                queue.next += 1
                return .some(queue.work[queue.next - 1])
            }
            guard let work = work.flatMap({ $0 }) else { return }
            let result = Result { try work.body() }
            work.batch.state.change { state in
                state.left -= 1
                if case .failure(let error) = result, state.failure == nil { state.failure = error }
            }
        }
    }
}
