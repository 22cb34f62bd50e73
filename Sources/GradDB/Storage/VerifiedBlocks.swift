// Which blocks this process has verified. A block never changes, so in a long-lived process its
// checksums need be looked at once: afterwards a scan only scores, and single rows are read without
// their neighbours.

import Synchronization

package final class VerifiedBlocks: Sendable {
    /// Beyond so many, blocks are verified at each scan: 64 MB of keys.
    private static let limit = 1 << 20

    private let keys = Mutex<Set<BlockKey>>([])

    package func contains(_ key: BlockKey) -> Bool { keys.withLock { $0.contains(key) } }

    /// To be called when the header and all chunks of a block have been verified.
    package func insert(_ key: BlockKey) {
        keys.withLock { keys in
            if keys.count < Self.limit { keys.insert(key) }
        }
    }

    /// For who changes blocks under a reader: the fuzzer.
    package func removeAll() { keys.withLock { $0.removeAll() } }
}
