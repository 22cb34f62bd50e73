// What the engine counts, for whoever watches a long-lived process: docs/observability.md lists it.
//
// A counter is looked up when there is something to count: never in a loop over rows or blocks, but
// once for each commit, pass or open. So a backend may be bootstrapped at any time, and without one
// an event costs a few allocations.

import CoreMetrics

/// The metrics of the engine, by what happens.
package enum EngineMetrics {
    /// A counter's label is that of the case.
    package enum Count: String, CaseIterable {
        case commits = "graddb_commits"
        case rowsIngested = "graddb_rows_ingested"
        case bytesIngested = "graddb_bytes_ingested"
        case scans = "graddb_scans"
        case scanRows = "graddb_scan_rows"
        case scanBlocks = "graddb_scan_blocks"
        case scanBytes = "graddb_scan_bytes"
        case verifiedBlocks = "graddb_verified_blocks"
        case checksumFailures = "graddb_checksum_failures"
        case readerOpens = "graddb_reader_opens"
        case readerRetries = "graddb_reader_retries"
        case recoveries = "graddb_recoveries"
        case compactedBytes = "graddb_compacted_bytes"
        case collectedBytes = "graddb_collected_bytes"
    }

    /// How long something took.
    package enum Time: String, CaseIterable {
        case commit = "graddb_commit_seconds"
        case scan = "graddb_scan_seconds"
    }

    package static func add(
        _ amount: some BinaryInteger, to count: Count, _ dimensions: [(String, String)] = []
    ) {
        guard amount > 0 else { return }
        Counter(label: count.rawValue, dimensions: dimensions)
            .increment(by: Int64(clamping: amount))
    }

    package static func record(_ duration: Duration, as time: Time) {
        Timer(label: time.rawValue).recordNanoseconds(Int64(duration.seconds * 1e9))
    }

    /// A snapshot, whose publication began at `started`.
    ///
    /// - Parameter newSegments: the numbers of those that the commit wrote.
    package static func published(
        _ next: NextSnapshot, newSegments: Range<UInt64>, since started: ContinuousClock.Instant
    ) {
        add(1, to: .commits, [("operation", next.operation.rawValue)])
        record(ContinuousClock.now - started, as: .commit)
        let written = next.segments.filter { newSegments.contains($0.segment) }
        let bytes = written.reduce(0) { $0 + $1.bytes }
        switch next.operation {
        case .ingest, .commit, .import:
            add(written.reduce(0) { $0 + ($1.base == nil ? $1.rows : 0) }, to: .rowsIngested)
            add(bytes, to: .bytesIngested)
        case .compact: add(bytes, to: .compactedBytes)
        case .recode, .precondition, .delete, .restore, .repair: break
        }
    }

    /// A pass over vectors that began at `started`.
    package static func scanned(_ counters: ScanCounters, since started: ContinuousClock.Instant) {
        add(1, to: .scans)
        add(counters.rows, to: .scanRows)
        add(counters.blocks, to: .scanBlocks)
        add(counters.bytes, to: .scanBytes)
        add(counters.verifiedBlocks, to: .verifiedBlocks)
        record(ContinuousClock.now - started, as: .scan)
    }
}
