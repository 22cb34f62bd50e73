// Measures speed: how much work some threads do side by side until a deadline.

import Synchronization

/// The state of one measuring thread, reused from measurement to measurement.
final class Desk: @unchecked Sendable {  // used by one thread at a time
    /// What this thread reads.
    let bytes: UnsafeRawBufferPointer
    /// Where it reads next.
    private var position = 0
    /// Where kernels add up what nobody looks at.
    let sums: UnsafeMutablePointer<Accumulator>

    init(bytes: UnsafeRawBufferPointer, sumCount: Int) {
        self.bytes = bytes
        sums = .allocate(capacity: sumCount)
        sums.initialize(repeating: Accumulator(), count: sumCount)
    }

    deinit { sums.deallocate() }

    /// The first `count` bytes: the same ones at every call, so that they stay in a cache.
    func same(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: bytes[..<count])
    }

    /// The `count` bytes behind those of the last call, from the start again at the end.
    func next(_ count: Int) -> UnsafeRawBufferPointer {
        if position + count > bytes.count { position = 0 }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }
}

enum Stopwatch {
    /// Units of work per second of `threads` threads that call `step` until `seconds` are over.
    ///
    /// All start at one moment, and each counts up to the end of its own last step: neither a
    /// thread that comes late nor one that is still at work at the deadline looks faster than it is.
    ///
    /// - Parameter step: does a little work, far shorter than `seconds`, and says how much.
    static func rate(
        threads: Int, seconds: Double, cancellation: Cancellation,
        _ step: @escaping @Sendable (_ worker: Int) throws -> Double
    ) throws -> Double {
        let start = ContinuousClock.now + .microseconds(200)
        let end = start + .seconds(seconds)
        let total = Total()
        try Parallel.forEach(threads, threads: threads) { _, worker in
            while ContinuousClock.now < start {}
            var work = 0.0
            var now = ContinuousClock.now
            while now < end, !cancellation.isCancelled {
                work += try step(worker)
                now = ContinuousClock.now
            }
            guard now > start else { return }
            total.add(work / (now - start).seconds)
        }
        try cancellation.check()
        return total.value
    }

    private final class Total: Sendable {
        private let sum = Mutex(0.0)
        var value: Double { sum.withLock { $0 } }
        func add(_ amount: Double) { sum.withLock { $0 += amount } }
    }
}
