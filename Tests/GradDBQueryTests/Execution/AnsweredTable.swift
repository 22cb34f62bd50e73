// A database for tests of execution: random vectors at two checkpoints, queries in memory.

import Foundation
import GradDB
import GradDBQuery

/// Deleted with the object.
final class AnsweredTable {
    let directory: String
    let dims: Int
    /// [queries, dims]
    let queries: [Float]
    let queryCount: Int
    private let memory: UnsafeMutableBufferPointer<Float>

    /// A table `t` with the layers `a` and `b` of so many dims, and rows 0 ..< rows at the checkpoint
    /// `early`, rows from 10 on at `late`.
    init(codec: CodecKind, dims: Int = 40, rows: Int = 90, queries: Int = 11) throws {
        directory = NSTemporaryDirectory() + "graddb-answers-" + UUID().uuidString
        self.dims = dims
        queryCount = queries
        var random = SplitMix64(state: 17)
        func floats(_ count: Int) -> [Float] {
            (0..<count).map { _ in Float(Int64(bitPattern: random.next()) >> 40) / 65536 }
        }
        self.queries = floats(queries * dims)
        memory = .allocate(capacity: queries * dims)
        _ = memory.initialize(from: self.queries)
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        try Database.create(at: directory + "/db")
        let writer = try DatabaseWriter(path: directory + "/db")
        var schema = TableSchema(
            name: "t",
            layers: [
                .init(name: "a", dims: dims, codec: codec),
                .init(name: "b", dims: dims, codec: codec),
            ])
        schema.fields = [Field(name: "part", type: .int)]
        schema.rowsPerGroup = 16
        _ = try writer.createTable(schema)
        for (checkpoint, first) in [("early", 0), ("late", 10)] {
            let count = rows - first
            let path = "\(directory)/\(checkpoint).safetensors"
            try Self.write(["a": floats(count * dims), "b": floats(count * dims)], dims, to: path)
            let metadata = "\(directory)/\(checkpoint).jsonl"
            try (first..<rows).map { "{\"id\": \"r\($0)\", \"part\": \($0 % 3)}\n" }.joined()
                .write(toFile: metadata, atomically: true, encoding: .utf8)
            var options = IngestOptions(checkpoint: checkpoint)
            options.weight = checkpoint == "early" ? -0.5 : 2
            _ = try writer.ingest(
                into: "t",
                inputs: try InputSet(
                    paths: [path], npyTensor: nil, spoolDirectory: writer.stagingDirectory),
                metadata: try MetadataReader(
                    path: metadata, fields: try writer.table("t").fields), options: options)
        }
    }

    deinit {
        memory.deallocate()
        try? FileManager.default.removeItem(atPath: directory)
    }

    private static func write(_ layers: [String: [Float]], _ dims: Int, to path: String) throws {
        var parts: [String] = []
        var data = Data()
        for (name, values) in layers.sorted(by: { $0.key < $1.key }) {
            let start = data.count
            for value in values {
                withUnsafeBytes(of: value.bitPattern.littleEndian) { data.append(contentsOf: $0) }
            }
            parts.append(
                "\"\(name)\":{\"dtype\":\"F32\",\"shape\":[\(values.count / dims),\(dims)],"
                    + "\"data_offsets\":[\(start),\(data.count)]}")
        }
        let header = Data("{\(parts.joined(separator: ","))}".utf8)
        var file = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
        file.append(header)
        file.append(data)
        try file.write(to: URL(fileURLWithPath: path))
    }

    /// Queries in memory as `$q`, so many of them scored together.
    func engine(queriesPerPart: Int? = nil, threads: Int = 2) throws -> QueryEngine {
        var options = QueryOptions()
        options.threads = threads
        options.queriesPerPart = queriesPerPart
        if let start = memory.baseAddress {
            let tensor = TensorBatch.Tensor(
                .f32, rows: queryCount, dims: dims, start: UnsafeRawPointer(start))
            options.vectors["q"] = TensorBatch(name: "$q", ["a": tensor, "b": tensor])
        }
        return QueryEngine(try Database(path: directory + "/db"), options: options)
    }

    func rows(_ engine: QueryEngine, _ statement: String) throws -> [ResultRow] {
        guard case .rows(let result) = try engine.run(statement) else { return [] }
        return result.rows
    }
}
