// How many bytes several threads have done.

import Synchronization

final class BytesDone: Sendable {
    private let bytes = Atomic<UInt64>(0)

    /// Adds to it, and returns how many there are.
    func add(_ count: UInt64) -> UInt64 {
        bytes.wrappingAdd(count, ordering: .relaxed).newValue
    }
}
