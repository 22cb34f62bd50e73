// What several threads found to be broken, in the order of the work.

import Synchronization

final class Findings: Sendable {
    private let results = Mutex<(errors: [(index: Int, error: GradDBError)], bytes: UInt64)>(
        ([], 0))

    /// Runs one unit; `body` returns the bytes it looked at. Corruption becomes a finding, and so
    /// does what could not be read.
    ///
    /// - Throws: what has nothing to do with the database.
    func record(_ index: Int, _ body: () throws -> UInt64) throws {
        do {
            let bytes = try body()
            results.withLock { $0.bytes += bytes }
        } catch let error as GradDBError where error.isDamage {
            results.withLock { $0.errors.append((index, error)) }
        }
    }

    var errors: [(index: Int, error: GradDBError)] {
        results.withLock { $0.errors.sorted { $0.index < $1.index } }
    }
    var bytes: UInt64 { results.withLock { $0.bytes } }
}

extension GradDBError {
    /// Whether it says that something of the database is broken, or cannot be read.
    var isDamage: Bool { kind == .corrupt || kind == .io || kind == .formatTooNew }
}
