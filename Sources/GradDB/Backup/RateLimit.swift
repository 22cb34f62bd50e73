// Holds work back so that it reads or writes no more than so many bytes a second, whatever the
// number of its threads.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

package final class RateLimit: Sendable {
    private let bytesPerSecond: Double?
    /// When what was taken so far may have been done.
    private let due = Mutex<ContinuousClock.Instant?>(nil)

    /// - Parameter bytesPerSecond: nil for no limit.
    package init(bytesPerSecond: UInt64?) {
        self.bytesPerSecond = bytesPerSecond.map { max(1, Double($0)) }
    }

    /// Waits until `bytes` more may be done.
    ///
    /// - Throws: `.interrupted`.
    func take(_ bytes: Int, cancellation: Cancellation) throws {
        try cancellation.check()
        guard let bytesPerSecond else { return }
        let until = due.withLock { due in
            let now = ContinuousClock.now
            let start = max(due ?? now, now)
            due = start + .seconds(Double(bytes) / bytesPerSecond)
            return start
        }
        while ContinuousClock.now < until {
            try cancellation.check()
            let left = (until - ContinuousClock.now).seconds
            usleep(useconds_t(max(0, min(left, 0.05)) * 1e6))
        }
    }
}

/// What whoever reads or writes much must heed.
struct FileLimits: Sendable {
    let rate: RateLimit
    let cancellation: Cancellation

    init(rate: RateLimit = RateLimit(bytesPerSecond: nil), cancellation: Cancellation = .init()) {
        self.rate = rate
        self.cancellation = cancellation
    }
}
