// graddb.h, "vectors and columns": storing rows, and reading them again.

// swift-format-ignore-file: AlwaysUseLowerCamelCase
// (the names are those of graddb.h)

import CGradDB
import GradDB

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@c @implementation
public func graddb_append(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!,
    _ tensors: UnsafePointer<graddb_tensor>!, _ tensorCount: Int,
    _ ids: UnsafePointer<graddb_column>!, _ fields: UnsafePointer<graddb_column>!,
    _ fieldCount: Int, _ flag: OpaquePointer!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let database = try handle(database)
        let table = try text(table, "table's name")
        let (options, projectors) = try appendOptions(options)
        let cancellation = try cancellation(flag)
        let tensors = try elements(tensors, tensorCount, "tensors")
        let fields = try elements(fields, fieldCount, "fields")
        return try database.write(cancellation) { writer in
            let schema = try writer.table(table)
            let layers = schema.layers.map(\.name)
            let batch = try batch(tensors, "the vectors", projectors: projectors)
                .named(forLayers: layers)
            let rows = try batch.rowCount(of: layers)
            guard ids != nil || fields.isEmpty else {
                throw GradDBError(.badInput, "fields need ids; give every row one")
            }
            let metadata = try ids.map {
                try ColumnMetadata(ids: $0.pointee, fields: fields, of: schema.fields, rows: rows)
            }
            let result = try writer.ingest(
                into: table, inputs: InputSet([batch]), metadata: metadata, options: options,
                cancellation: cancellation)
            if !result.unusedTensors.isEmpty {
                Notes.add(
                    "notice", "graddb.ingest",
                    "these tensors are no layers of the table and were left out: "
                        + result.unusedTensors.prefix(20).joined(separator: ", "))
            }
            for note in result.notes { Notes.add("notice", "graddb.ingest", note) }
            return copyForC(result.json(table: table, checkpoint: options.checkpoint).text)
        }
    }
}

private func appendOptions(
    _ json: UnsafePointer<CChar>?
) throws -> (IngestOptions, projectors: [String: ProjectorDocument]) {
    struct Text: Decodable {
        var checkpoint: String
        var step: Int64?
        var weight: Double?
        var tag: String?
        var message: String?
        var resume: Bool?
        var threads: Int?
        var projectors: [String: ProjectorDocument]?
    }
    let given = try options(Text.self, try text(json, "options"), "options")
    var options = IngestOptions(checkpoint: given.checkpoint)
    options.step = given.step
    options.weight = given.weight
    options.tag = given.tag
    options.message = given.message ?? ""
    options.resume = given.resume ?? false
    options.threads = try threadCount(given.threads ?? 0)
    return (options, given.projectors ?? [:])
}

/// 0 is one per processor.
func threadCount(_ given: Int) throws -> Int {
    guard (0...1024).contains(given) else {
        throw GradDBError(.usage, "threads are 1 to 1024, or 0 for one per processor, not \(given)")
    }
    return given == 0 ? ProcessInfo.processInfo.activeProcessorCount : given
}

@c @implementation
public func graddb_read(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!,
    _ ids: UnsafePointer<graddb_column>!, _ vectors: UnsafeMutablePointer<Float>!,
    _ capacity: Int, _ flag: OpaquePointer!, _ error: ErrorTarget
) -> Int32 {
    status(error) {
        let table = try handle(database).table(try text(table, "table's name"))
        let request = try ReadRequest(options, of: table)
        let cancellation = try cancellation(flag)
        guard let ids else { throw GradDBError(.usage, "the ids are NULL; pass a column") }
        let column = try IDColumn(ids.pointee)
        let needed = column.rows.multipliedReportingOverflow(by: request.layer.dims)
        guard !needed.overflow, capacity >= needed.partialValue else {
            throw GradDBError(
                .usage,
                "\(column.rows) vectors of \(request.layer.dims) dims do not fit into "
                    + "\(capacity) floats")
        }
        guard column.rows > 0 else { return }
        guard let vectors else { throw GradDBError(.usage, "the memory for vectors is NULL") }
        let reader = try VectorReader(
            request.view, layer: request.layer, checkpoint: request.checkpoint)
        try reader.read(
            try (0..<column.rows).map { try column.id($0) },
            into: UnsafeMutableBufferPointer(start: vectors, count: needed.partialValue),
            threads: request.threads, cancellation: cancellation)
    }
}

/// Which vectors to read.
private struct ReadRequest {
    let view: TableView
    let layer: Layer
    let checkpoint: CheckpointDocument
    let threads: Int

    private struct Text: Decodable {
        var checkpoint: String?
        var layer: String?
        var at: SnapshotName?
        var threads: Int?
    }

    init(_ json: UnsafePointer<CChar>?, of table: Table) throws {
        let given = try optionalText(json, "options").map {
            try options(Text.self, $0, "options")
        }
        threads = try threadCount(given?.threads ?? 0)
        view = try given?.at.map { try $0.view(of: table) } ?? table.newest
        layer = try Self.layer(given?.layer, of: table)
        checkpoint = try view.checkpoint(orNewest: given?.checkpoint)
    }

    private static func layer(_ name: String?, of table: Table) throws -> Layer {
        let known = table.layers.map(\.name).joined(separator: ", ")
        guard let name else {
            guard table.layers.count == 1 else {
                throw GradDBError(
                    .usage, "table '\(table.name)' has several layers; choose one of \(known)")
            }
            return table.layers[0]
        }
        guard let layer = table.layers.first(where: { $0.name == name }) else {
            throw GradDBError(
                .usage, "table '\(table.name)' has no layer '\(name)'; it has \(known)")
        }
        return layer
    }
}

extension TableView {
    /// The checkpoint of that name; the newest one where none is named.
    ///
    /// - Throws: `.usage` where there is none.
    func checkpoint(orNewest name: String?) throws -> CheckpointDocument {
        guard let name else {
            guard let newest = newestCheckpoint else {
                throw GradDBError(.usage, "table '\(table.name)' has no checkpoint yet")
            }
            return newest
        }
        guard let checkpoint = checkpoint(named: name) else {
            let known = checkpoints.map(\.name).joined(separator: ", ")
            throw GradDBError(
                .usage,
                "table '\(table.name)' has no checkpoint '\(name)'; it has "
                    + (known.isEmpty ? "none" : known))
        }
        return checkpoint
    }
}

/// A snapshot's number, a tag or a time, as AT takes them.
private enum SnapshotName: Decodable {
    case number(UInt64)
    case name(String)

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let number = try? container.decode(UInt64.self) {
            self = .number(number)
        } else {
            self = .name(try container.decode(String.self))
        }
    }

    func view(of table: Table) throws -> TableView {
        switch self {
        case .number(let number): return try table.view(snapshot: number)
        case .name(let name):
            if let view = try table.view(tag: name) { return view }
            guard let time = Timestamp.parse(name), let view = try table.view(time: time) else {
                throw GradDBError(
                    .usage,
                    "table '\(table.name)' has no snapshot '\(name)'; give a number, a tag, or a "
                        + "time of its first snapshot or later")
            }
            return view
        }
    }
}
