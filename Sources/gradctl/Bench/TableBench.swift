// Scans of one table for random queries, through the same path as any statement: from the disk,
// after the page cache has been told to let the table files go, and from memory.

import GradDB
import GradDBQuery

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// What one kind of scan came to.
struct ScanResult {
    let queries: Int
    let isCold: Bool
    let rows: Int
    /// Of vectors, read once for all queries.
    let bytes: Int
    let seconds: Double
    let multiplications: Double

    var rowsPerSecond: Double { Double(rows) / seconds }
    var gigabytesPerSecond: Double { Double(bytes) / seconds / 1e9 }
    var gmacPerSecond: Double { multiplications / seconds / 1e9 }
}

struct TableBench {
    let name: String
    let checkpoint: CheckpointInfo
    let layers: [Layer]
    /// Whether all layers score in integers.
    let isInteger: Bool
    private let path: String
    private let threads: Int
    private let cancellation: Cancellation

    private static let queryCounts = [1, 16, 128]

    /// - Throws: `.notFound` without such a table, `.usage` without such a checkpoint, `.failed`
    ///   where there are no rows to scan.
    init(
        path: String, table name: String, checkpoint wanted: String?, threads: Int,
        cancellation: Cancellation
    ) throws {
        let table = try Database(path: path).table(name)
        let checkpoints = try table.checkpoints
        let found =
            wanted.map { wanted in checkpoints.first { $0.name == wanted } } ?? checkpoints.last
        if let wanted, found == nil {
            let names = checkpoints.map(\.name).joined(separator: ", ")
            throw GradDBError(
                .usage,
                "table '\(name)' has no checkpoint '\(wanted)'; it has: "
                    + (names.isEmpty ? "none" : names))
        }
        guard let checkpoint = found, checkpoint.rows > 0 else {
            throw GradDBError(.failed, "table '\(name)' has no rows to scan; ingest some first")
        }
        self.name = name
        self.checkpoint = checkpoint
        layers = table.layers
        // The finest codec of each layer is what scores.
        isInteger = table.layers.allSatisfy { layer in
            switch table.codecs(of: layer).first {
            case .int8, .int4, .bit: true
            default: false
            }
        }
        self.path = path
        self.threads = threads
        self.cancellation = cancellation
    }

    /// - Parameter seconds: about how long the scans from memory take together.
    func run(seconds: Double, _ profile: MachineProfile) throws -> [ScanResult] {
        try Self.queryCounts.flatMap { count in
            try withQueries(count) { file in
                // Afterwards the pages are in memory, but no process has mapped them.
                PageCache.drop(DiskSource.tableFiles(ofDatabase: path))
                let cold = try scans(count, file, isCold: true, seconds: 0)
                let share = seconds / Double(Self.queryCounts.count)
                let warm = try scans(count, file, isCold: false, seconds: share)
                return [median(warm), median(cold)]
            }
        }
    }

    /// Scans in a database that is open for them only: what it has mapped, the page cache keeps.
    /// One scan from the disk; from memory several, of which the first, which maps the pages, does
    /// not count.
    private func scans(
        _ count: Int, _ file: String, isCold: Bool, seconds: Double
    ) throws -> [ScanResult] {
        var options = QueryOptions()
        options.threads = threads
        options.cancellation = cancellation
        options.parameters = ["queries": file]
        let engine = QueryEngine(try Database(path: path), options: options)
        if isCold { return [try scan(engine, count, isCold: true)] }
        _ = try scan(engine, count, isCold: false)
        let end = ContinuousClock.now + .seconds(seconds)
        var results: [ScanResult] = []
        repeat {
            results.append(try scan(engine, count, isCold: false))
        } while ContinuousClock.now < end || results.count < 3
        return results
    }

    private func scan(_ engine: QueryEngine, _ count: Int, isCold: Bool) throws -> ScanResult {
        let statement =
            "EXPLAIN ANALYZE FROM \(Self.quoted(name, "\"")) SCORE dot TO $queries "
            + "ACROSS \(Self.quoted(checkpoint.name, "'")) TOP 10 EXACT"
        guard case .plan(let plan) = try engine.run(statement), let scan = plan.root.first("scan")
        else {
            throw GradDBError(.failed, "the plan of a scan shows no scan")
        }
        let rows = scan.actual("rows")
        let dims = layers.reduce(0) { $0 + $1.dims }
        return ScanResult(
            queries: count, isCold: isCold, rows: Int(rows), bytes: Int(scan.actual("bytes")),
            seconds: max(scan.actual("seconds"), 1e-9),
            multiplications: rows * Double(dims) * Double(count))
    }

    private static func quoted(_ name: String, _ quote: String) -> String {
        quote + name.replacing(quote, with: quote + quote) + quote
    }

    private func median(_ results: [ScanResult]) -> ScanResult {
        results.sorted { $0.seconds < $1.seconds }[results.count / 2]
    }

    // MARK: queries

    /// Calls `body` with a file of seeded Gaussian queries over all layers.
    private func withQueries<R>(_ count: Int, _ body: (String) throws -> R) throws -> R {
        let directory = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
        let file =
            "\(directory)/graddb-bench-\(ProcessInfo.processInfo.processIdentifier)"
            + "-\(count).safetensors"
        defer { try? FileManager.default.removeItem(atPath: file) }
        do {
            try writeQueries(count, to: file)
        } catch let error as GradDBError {
            throw error
        } catch {
            throw GradDBError(.io, "cannot write queries to \(file); set TMPDIR to another place")
        }
        return try body(file)
    }

    private func writeQueries(_ count: Int, to path: String) throws {
        var offset = 0
        let tensors = layers.map { layer in
            let start = offset
            offset += count * layer.dims * 4
            return "\(JSONValue.string(layer.name).text):{\"dtype\":\"F32\","
                + "\"shape\":[\(count),\(layer.dims)],\"data_offsets\":[\(start),\(offset)]}"
        }
        let header = "{" + tensors.joined(separator: ",") + "}"
        var data = Data()
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { data.append(contentsOf: $0) }
        data.append(contentsOf: header.utf8)
        var random = SeededNumbers(seed: 128)
        for layer in layers {
            for _ in 0..<count {
                try cancellation.check()
                random.gaussians(layer.dims).withUnsafeBytes { data.append(contentsOf: $0) }
            }
        }
        try data.write(to: URL(filePath: path))
    }

    /// What readers of the results should know.
    func notes(on results: [ScanResult]) -> [String] {
        let bytes = results.map(\.bytes).max() ?? 0
        guard let free = PageCache.availableBytes, bytes > free else { return [] }
        return ["the table does not fit into memory: what is called warm is not"]
    }
}

extension PlanNode {
    fileprivate func first(_ name: String) -> PlanNode? {
        self.name == name ? self : inputs.lazy.compactMap { $0.first(name) }.first
    }

    fileprivate func actual(_ key: String) -> Double {
        switch actual.first(where: { $0.key == key })?.value {
        case .count(let count): Double(count)
        case .number(let number): number
        default: 0
        }
    }
}
