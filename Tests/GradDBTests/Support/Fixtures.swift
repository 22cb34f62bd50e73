// What engine tests share: temporary databases, tensor files, seeded random numbers.

import Foundation
import GradDB
import SystemPackage

/// A directory that is removed when the test lets go of it.
final class TemporaryDirectory: Sendable {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "graddb-test-" + UUID().uuidString
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }
}

/// splitmix64: repeatable, and its seed can be printed.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Standard normal (sum of twelve uniforms).
    mutating func gaussian() -> Float {
        (0..<12).reduce(Float(-6)) { sum, _ in sum + Float.random(in: 0..<1, using: &self) }
    }

    mutating func vector(_ dims: Int) -> [Float] { (0..<dims).map { _ in gaussian() } }
}

/// Rows of one layer.
typealias Matrix = [[Float]]

enum TensorFiles {
    /// Writes an f32 safetensors file with one tensor per layer.
    static func write(_ layers: [String: Matrix], to path: String) throws {
        var header = ""
        var body = Data()
        for (name, rows) in layers.sorted(by: { $0.key < $1.key }) {
            let start = body.count
            for row in rows { row.withUnsafeBytes { body.append(contentsOf: $0) } }
            header += header.isEmpty ? "{" : ","
            header +=
                "\"\(name)\":{\"dtype\":\"F32\",\"shape\":[\(rows.count),\(rows.first?.count ?? 1)],"
                + "\"data_offsets\":[\(start),\(body.count)]}"
        }
        var file = Data()
        withUnsafeBytes(of: UInt64(header.utf8.count + 1).littleEndian) {
            file.append(contentsOf: $0)
        }
        file.append(contentsOf: (header + "}").utf8)
        file.append(body)
        try file.write(to: URL(fileURLWithPath: path))
    }

    static func writeMetadata(_ lines: [String], to path: String) throws {
        try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(fileURLWithPath: path))
    }
}

/// A database in a temporary directory.
struct TestDatabase {
    let directory = TemporaryDirectory()
    var path: String { directory.file("db") }

    init() throws { try Database.create(at: path) }

    @discardableResult
    func create(_ schema: TableSchema) throws -> Table {
        try DatabaseWriter(path: path).createTable(schema)
    }

    /// Ingests rows, with metadata lines if given.
    @discardableResult
    func ingest(
        _ table: String, _ layers: [String: Matrix], checkpoint: String = "c",
        metadata: [String]? = nil, resume: Bool = false, cancellation: Cancellation = .init()
    ) throws -> IngestResult {
        let input = directory.file("input-\(UUID().uuidString).safetensors")
        try TensorFiles.write(layers, to: input)
        let writer = try DatabaseWriter(path: path)
        let metadataPath = directory.file("metadata.jsonl")
        if let metadata { try TensorFiles.writeMetadata(metadata, to: metadataPath) }
        var options = IngestOptions(checkpoint: checkpoint)
        options.resume = resume
        return try writer.ingest(
            into: table,
            inputs: try InputSet(
                paths: [input], npyTensor: nil, spoolDirectory: writer.stagingDirectory),
            metadata: metadata == nil
                ? nil
                : try MetadataReader(
                    path: metadataPath, fields: try writer.table(table).fields),
            options: options, cancellation: cancellation)
    }

    func table(_ name: String) throws -> Table { try Database(path: path).table(name) }
}
