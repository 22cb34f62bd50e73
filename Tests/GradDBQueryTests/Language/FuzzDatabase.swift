// A small database for statements that no one wrote: two tables, two layers, two checkpoints.

import Foundation
import GradDB
import GradDBQuery

final class FuzzDatabase {
    private let directory: String
    let engine: QueryEngine

    static let rows = 12
    static let names = [
        "i", "j", "f", "g", "b", "c", "s", "t", "id", "row", "score", "rank", "query", "layer",
        "example", "token", "rows", "nope", "I",
    ]
    static let strings = [
        "r1", "r2/7", "c1", "c2", "0", "grad", "g*", "*", "head", "v1", "2999-01-01",
    ]
    static let tables = ["t", "t", "t", "tokens", "empty", "T"]

    init() throws {
        let directory = NSTemporaryDirectory() + "graddb-fuzz-" + UUID().uuidString
        self.directory = directory
        let vectors = directory + "/vectors.safetensors"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        let path = directory + "/db"
        try Database.create(at: path)
        let types: [(String, FieldType)] = [
            ("i", .int), ("j", .int), ("f", .float), ("g", .float), ("b", .bool), ("c", .bool),
            ("s", .string), ("t", .string),
        ]
        let fields = types.map { Field(name: $0.0, type: $0.1) }
        let layers: [TableSchema.LayerSchema] = [
            .init(name: "grad", dims: 8), .init(name: "head", dims: 4, codec: .f32),
        ]
        for (name, unit) in [("t", RowUnit.example), ("tokens", .token), ("empty", .example)] {
            var schema = TableSchema(name: name, layers: layers, fields: fields)
            schema.unit = unit
            _ = try DatabaseWriter(path: path).createTable(schema)
        }
        for name in ["t", "tokens"] {
            for checkpoint in ["c1", "c2"] { try Self.ingest(name, checkpoint, directory, fields) }
        }
        var options = QueryOptions()
        options.threads = 1
        options.parameters = RandomCondition.parameters.merging(["q": vectors]) { $1 }
        for word in RandomSyntax.words { options.parameters[word] = vectors }
        engine = QueryEngine(try Database(path: path), options: options)
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    private static func ingest(
        _ table: String, _ checkpoint: String, _ directory: String, _ fields: [Field]
    ) throws {
        let vectors = directory + "/vectors.safetensors"
        var body = Data()
        for element in 0..<rows * 12 {
            let value = Float((element * 7919) % 23) - 11
            withUnsafeBytes(of: value.bitPattern.littleEndian) { body.append(contentsOf: $0) }
        }
        let split = rows * 8 * 4
        let header =
            "{\"grad\":{\"dtype\":\"F32\",\"shape\":[\(rows),8],\"data_offsets\":[0,\(split)]},"
            + "\"head\":{\"dtype\":\"F32\",\"shape\":[\(rows),4],"
            + "\"data_offsets\":[\(split),\(body.count)]}}"
        var file = Data()
        withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { file.append(contentsOf: $0) }
        file.append(contentsOf: header.utf8)
        file.append(body)
        try file.write(to: URL(filePath: vectors))
        let lines = (0..<rows).map { row in
            // Some rows have no values.
            let values =
                row % 3 == 0
                ? ""
                : ",\"i\":\(row),\"j\":-1,\"f\":0.5,\"g\":\(row),\"b\":true,\"s\":\"a\",\"t\":\"é\""
            return "{\"id\":\"r\(row)/\(row)\"\(values)}\n"
        }
        let metadata = directory + "/rows.jsonl"
        try Data(lines.joined().utf8).write(to: URL(filePath: metadata))
        let writer = try DatabaseWriter(path: directory + "/db")
        var options = IngestOptions(checkpoint: checkpoint)
        options.weight = 0.5
        options.tag = "v1"
        _ = try writer.ingest(
            into: table,
            inputs: try InputSet(
                paths: [vectors], npyTensor: nil, spoolDirectory: writer.stagingDirectory),
            metadata: try MetadataReader(path: metadata, fields: fields), options: options,
            cancellation: Cancellation())
    }
}
