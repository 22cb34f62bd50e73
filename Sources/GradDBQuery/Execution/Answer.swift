// What a statement selects for one query, or for all of them, while it is being selected.

import GradDB
import Synchronization

/// The best rows of one answer so far, at both ends.
struct Answer: Sendable {
    private(set) var top: TopRows
    private(set) var bottom: TopRows

    init(top: Int, bottom: Int) {
        self.top = TopRows(.top, limit: top)
        self.bottom = TopRows(.bottom, limit: bottom)
    }

    /// The ends that are asked for.
    var ends: [TopRows] { [top, bottom].filter { $0.limit > 0 } }

    mutating func insert(_ score: Double, _ row: UInt64) {
        if top.limit > 0 { top.insert(score, row) }
        if bottom.limit > 0 { bottom.insert(score, row) }
    }

    /// Inserts the rows of a group that count.
    mutating func insert(_ scores: UnsafeBufferPointer<Double>, _ group: GroupScores) {
        top.insert(scores, group)
        bottom.insert(scores, group)
    }

    mutating func merge(_ other: Answer) {
        top.merge(other.top)
        bottom.merge(other.bottom)
    }

    /// Whether a score of at most `bound`, or as little as -`bound`, may still be selected.
    func mayTake(within bound: Double) -> Bool {
        top.mayTake(bound) || bottom.mayTake(-bound)
    }
}

/// One value per thread of a scan: no two threads share one, its lock is never waited for.
final class PerWorker<Value: Sendable>: Sendable {
    private final class Slot: Sendable {
        let value: Mutex<Value>
        init(_ value: Value) { self.value = Mutex(value) }
    }

    private let slots: [Slot]

    init(_ count: Int, _ initial: Value) {
        slots = (0..<count).map { _ in Slot(initial) }
    }

    func withValue<R: Sendable>(_ worker: Int, _ body: (inout Value) throws -> R) rethrows -> R {
        try slots[worker].value.withLock { try body(&$0) }
    }

    var values: [Value] { slots.map { $0.value.withLock { $0 } } }
}
