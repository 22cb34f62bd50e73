// How much longer than usual the nightly campaign tries: tools/test.sh --nightly sets it.

import Foundation

enum TestScale {
    static let factor = max(
        1, Int(ProcessInfo.processInfo.environment["GRADDB_TEST_SCALE"] ?? "") ?? 1)

    /// How long a fuzzer goes on.
    static var fuzzSeconds: Int { factor >= 10 ? 30 : 5 }

    /// What repeats a run: a new one each time, unless GRADDB_FUZZ_SEED names it. Printed at once: a
    /// crash takes with it what has not been written.
    static func seed(of what: String) -> UInt64 {
        let seed =
            ProcessInfo.processInfo.environment["GRADDB_FUZZ_SEED"].flatMap { UInt64($0) }
            ?? UInt64.random(in: 0 ... .max)
        FileHandle.standardError.write(Data("\(what): GRADDB_FUZZ_SEED=\(seed)\n".utf8))
        return seed
    }
}
