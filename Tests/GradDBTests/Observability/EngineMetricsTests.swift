// What the engine counts, against what was done. A process can bootstrap one backend, once: so each
// test runs in a process of its own, in which nothing else happens.

import CoreMetrics
import Foundation
import GradDB
import Testing

@Suite struct EngineMetricsTests {
    private static let dims = 5000

    /// Ten rows of two slabs, in three row groups.
    private static func database() throws -> TestDatabase {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t", layers: [.init(name: "grad", dims: dims, codec: .int8)])
        schema.rowsPerGroup = 4
        try database.create(schema)
        return database
    }

    private static func rows(_ count: Int) -> [String: Matrix] {
        var random = SeededRandom(seed: 1)
        return ["grad": (0..<count).map { _ in random.vector(dims) }]
    }

    private static func scan(_ view: TableView) throws -> ScanCounters {
        let kernels = try KernelSet.chosen()
        let layer = view.table.layers[0]
        let encoding = try view.finestEncoding(of: layer)
        let codec = try view.table.codec(layer, encoding.codec, kernels)
        let column = ScanColumn(
            layer: layer, encoding: encoding, slabs: codec.geometry.slabCount,
            target: encoding.codec)
        let query = try codec.encodeQuery([Float](repeating: 1, count: dims))
        return try Scan(
            ScanRequest(
                view: view, checkpoint: try #require(view.newestCheckpoint), columns: [column],
                queries: [[query]], filter: nil, threads: 2, cancellation: Cancellation())
        ).run { _, _ in }
    }

    @Test func commitsAndScansAreCounted() async {
        await #expect(processExitsWith: .success) {
            let metrics = RecordingMetrics()
            let database = try Self.database()
            // Not the first thing that happens; what comes after it counts.
            MetricsSystem.bootstrap(metrics)
            let result = try database.ingest("t", Self.rows(10))
            #expect(metrics.values("graddb_commits{operation=ingest}") == [1])
            #expect(metrics.values("graddb_rows_ingested") == [10])
            #expect(metrics.values("graddb_bytes_ingested") == [Int64(result.bytes)])
            #expect(metrics.values("graddb_commit_seconds").count == 1)
            #expect(metrics.values("graddb_commit_seconds").allSatisfy { $0 > 0 })

            #expect(metrics.total("graddb_reader_opens") == 0)
            let view = try database.table("t").newest
            #expect(metrics.total("graddb_reader_opens") == 1)
            for pass in 1...2 {
                let counters = try Self.scan(view)
                #expect(counters.rows == 10)
                #expect(metrics.total("graddb_scans") == Int64(pass))
                #expect(metrics.total("graddb_scan_rows") == Int64(10 * pass))
                #expect(metrics.total("graddb_scan_blocks") == Int64(6 * pass))
                #expect(metrics.total("graddb_scan_bytes") == Int64(10 * Self.dims * pass))
                #expect(metrics.values("graddb_scan_seconds").count == pass)
                // A block is verified once in a process.
                #expect(metrics.total("graddb_verified_blocks") == 6)
            }
            #expect(
                metrics.names == [
                    "graddb_commits{operation=ingest}", "graddb_rows_ingested",
                    "graddb_bytes_ingested", "graddb_commit_seconds", "graddb_reader_opens",
                    "graddb_scans", "graddb_scan_rows", "graddb_scan_blocks", "graddb_scan_bytes",
                    "graddb_scan_seconds", "graddb_verified_blocks",
                ])
        }
    }

    @Test func compactionsAndCleanUpsAreCounted() async {
        await #expect(processExitsWith: .success) {
            let metrics = RecordingMetrics()
            MetricsSystem.bootstrap(metrics)
            let database = try Self.database()
            let ingested = try database.ingest("t", Self.rows(10))
            do {
                let writer = try DatabaseWriter(path: database.path)
                var rows = DeletedRows()
                rows.insert(3)
                _ = try writer.delete(
                    rows, from: try writer.table("t"), options: SnapshotOptions())
                let compacted = try writer.compact("t", options: CompactionOptions())
                #expect(metrics.values("graddb_compacted_bytes") == [Int64(compacted.bytes)])
                _ = try writer.expire("t", ExpiryRule(keepLast: 1))
            }
            for operation in ["ingest", "delete", "compact"] {
                #expect(metrics.values("graddb_commits{operation=\(operation)}") == [1])
            }
            #expect(metrics.total("graddb_collected_bytes") == 0)
            let report = try DatabaseWriter.cleanUp(path: database.path)
            #expect(report.bytes == ingested.bytes)
            #expect(metrics.values("graddb_collected_bytes") == [Int64(report.bytes)])
            #expect(metrics.values("graddb_rows_ingested") == [10])
            #expect(metrics.total("graddb_checksum_failures") == 0)
        }
    }

    @Test func recoveriesAndChecksumFailuresAreCounted() async {
        await #expect(processExitsWith: .success) {
            let metrics = RecordingMetrics()
            MetricsSystem.bootstrap(metrics)
            let database = try Self.database()
            try database.ingest("t", Self.rows(10))
            #expect(metrics.total("graddb_recoveries") == 0)
            do {
                // As a writer leaves it that dies at work.
                let store = try RocksStore(path: database.path, mode: .writing)
                let batch = WriteBatch(store)
                try batch.put(
                    Catalog.Key.reservation(77),
                    document: ReservationDocument(table: 1, segments: 1))
                try store.write(batch, sync: true)
            }
            _ = try DatabaseWriter(path: database.path)
            #expect(metrics.values("graddb_recoveries") == [1])
            try flipABit(in: database.path)
            let view = try database.table("t").newest
            let error = #expect(throws: GradDBError.self) { try Self.scan(view) }
            #expect(error?.kind == .corrupt)
            #expect(metrics.total("graddb_checksum_failures") >= 1)
            #expect(metrics.total("graddb_scans") == 0)
        }
    }

    @Test func everyLabelIsDocumented() throws {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<4 { root.deleteLastPathComponent() }
        let page = try String(
            contentsOf: root.appendingPathComponent("docs/observability.md"), encoding: .utf8)
        let labels =
            EngineMetrics.Count.allCases.map(\.rawValue)
            + EngineMetrics.Time.allCases.map(\.rawValue)
        for label in labels { #expect(page.contains("`\(label)`")) }
        let documented = page.matches(of: /`(graddb_[a-z_]+)`/).map { String($0.1) }
        #expect(Set(documented) == Set(labels + ["graddb_statistics"]))
    }
}

/// In the middle of the largest table file: that of the blocks.
private func flipABit(in path: String) throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: path)
        .filter { $0.hasSuffix(".sst") }.map { path + "/" + $0 }
    let contents = try files.map {
        (path: $0, data: try Data(contentsOf: URL(fileURLWithPath: $0)))
    }
    guard let largest = contents.max(by: { $0.data.count < $1.data.count }) else { return }
    var data = largest.data
    data[data.count / 2] ^= 1
    let url = URL(fileURLWithPath: largest.path)
    try FileManager.default.removeItem(at: url)
    try data.write(to: url)
}
