// Problems found by several threads, reported in the order of the work.

import Synchronization

final class Findings: Sendable {
    private let results: Mutex<(messages: [String?], bytes: UInt64)>

    init(count: Int) { results = Mutex((Array(repeating: nil, count: count), 0)) }

    /// Runs one unit; `body` returns the bytes it looked at. Corruption becomes a finding, and so
    /// does what RocksDB could not read.
    func record(_ index: Int, _ body: () throws -> UInt64) {
        let outcome = Result { try body() }
        results.withLock { results in
            switch outcome {
            case .success(let bytes): results.bytes += bytes
            case .failure(let error): results.messages[index] = "\(error)"
            }
        }
    }

    var problems: [String] { results.withLock { $0.messages.compactMap(\.self) } }
    var bytes: UInt64 { results.withLock { $0.bytes } }
}
