// What targets share: files that are written over and over, a database with everything in it.

import Foundation
import GradDB

/// A file that is written for each input, in memory where the system has a directory for that.
struct InputFile {
    let path: String

    init(_ directory: TemporaryDirectory, _ name: String) { path = directory.file(name) }

    func write(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        defer { close(file) }
        guard file >= 0,
            bytes.withUnsafeBytes({ Foundation.write(file, $0.baseAddress, $0.count) })
                == bytes.count
        else { report("cannot write \(path)") }
    }
}

extension [UInt8] {
    mutating func put(_ number: UInt64, at offset: Int, bytes: Int = 8) {
        for place in 0..<bytes {
            self[offset + place] = UInt8(truncatingIfNeeded: number >> UInt64(8 * place))
        }
    }

    func number(at offset: Int, bytes: Int) -> UInt64 {
        self[offset..<offset + bytes].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}

enum SmallDatabase {
    static let codecs: [CodecKind] = [.f32, .f16, .bf16, .int8, .int4, .bit]

    /// A table `t` with a layer in each codec and one of two slabs; three row groups at each of two
    /// checkpoints.
    static func vectors() throws -> TestDatabase {
        let database = try TestDatabase()
        let layers: [TableSchema.LayerSchema] =
            codecs.map { .init(name: "\($0)", dims: 37, codecs: [$0]) }
            + [.init(name: "wide", dims: 1100, codecs: [.f32])]
        var schema = TableSchema(
            name: "t", layers: layers, fields: [Field(name: "source", type: .string)])
        schema.rowsPerGroup = 4
        try database.create(schema)
        try fill(database, layers.map { ($0.name, $0.dims) })
        return database
    }

    /// A table `t` with two layers and all else that documents and records speak of.
    static func everything() throws -> TestDatabase {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t",
            layers: [.init(name: "a", dims: 6, codecs: [.f32]), .init(name: "b", dims: 9)],
            fields: [Field(name: "source", type: .string), Field(name: "n", type: .int)])
        schema.rowsPerGroup = 4
        try database.create(schema)
        try fill(database, [("a", 6), ("b", 9)])
        let writer = try DatabaseWriter(path: database.path)
        var recode = RecodeOptions(layer: "b", codec: .bit)
        recode.beside = true
        recode.tag = "coarse"
        _ = try writer.recode("t", options: recode)
        _ = try writer.precondition("t", options: PreconditionOptions(name: "p"))
        var gone = DeletedRows()
        gone.insert(3)
        _ = try writer.delete(gone, from: try writer.table("t"), options: SnapshotOptions())
        return database
    }

    static let rows = 10

    private static func fill(_ database: TestDatabase, _ layers: [(String, Int)]) throws {
        var random = SeededRandom(seed: 5)
        for checkpoint in ["c", "d"] {
            var vectors: [String: Matrix] = [:]
            for (name, dims) in layers {
                vectors[name] = (0..<rows).map { _ in random.vector(dims) }
            }
            try database.ingest(
                "t", vectors, checkpoint: checkpoint,
                metadata: (0..<rows).map { "{\"id\": \"x\($0)\", \"source\": \"s\($0 % 3)\"}" })
        }
    }
}
