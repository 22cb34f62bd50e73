// What was made of stored values that never change, kept for the next time it is asked for, as long
// as there is room. What is kept must not hold on to the store, or neither would ever go.

import Synchronization

package final class KeptValues: Sendable {
    private struct Kept {
        let key: [UInt8]
        let bytes: UInt64
        let value: any Sendable
    }

    /// Bytes of what is kept beside what was asked for last.
    private static let limit: UInt64 = 1 << 30

    /// What was asked for last comes last.
    private let values = Mutex<[Kept]>([])

    package init() {}

    /// The value of a key, made by `make` unless it is kept. Others wait meanwhile: what is worth
    /// keeping is worth making once.
    package func value<V: Sendable>(
        _ key: [UInt8], bytes: UInt64, make: () throws -> V
    ) throws -> V {
        try values.withLock { values in
            if let index = values.firstIndex(where: { $0.key == key }) {
                let kept = values.remove(at: index)
                values.append(kept)
                if let value = kept.value as? V { return value }
            }
            let value = try make()
            while !values.isEmpty, values.reduce(bytes, { $0 + $1.bytes }) > Self.limit {
                values.removeFirst()
            }
            values.append(Kept(key: key, bytes: bytes, value: value))
            return value
        }
    }
}
