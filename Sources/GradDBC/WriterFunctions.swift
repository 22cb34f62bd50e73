// graddb.h, "writers": staged ingests.

// swift-format-ignore-file: AlwaysUseLowerCamelCase
// (the names are those of graddb.h)

import CGradDB
import GradDB

@c @implementation
public func graddb_writer_open(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!,
    _ flag: OpaquePointer!, _ error: ErrorTarget
) -> OpaquePointer! {
    guarded(error) {
        let database = try handle(database)
        try ForkGuard.requireOwnThreads()
        let given = try GradDBC.options(
            WriterText.self, try text(options, "options"), "options")
        return Handles.make(
            try WriterObject(
                database: database.path, table: try text(table, "table's name"),
                options: try given.options, projectors: given.projectors ?? [:],
                cancellation: try cancellation(flag)))
    } ?? nil
}

@c @implementation
public func graddb_writer_earlier_rows(_ writer: OpaquePointer!) -> Int64 {
    Int64(Handles.object(writer, as: WriterObject.self)?.earlierRows ?? 0)
}

@c @implementation
public func graddb_writer_append(
    _ writer: OpaquePointer!, _ tensors: UnsafePointer<graddb_tensor>!, _ tensorCount: Int,
    _ ids: UnsafePointer<graddb_column>!, _ fields: UnsafePointer<graddb_column>!,
    _ fieldCount: Int, _ skipped: UnsafeMutablePointer<Int64>!, _ error: ErrorTarget
) -> Int32 {
    status(error) {
        let writer = try Handles.require(writer, WriterObject.self, "writer")
        guard let ids else { throw GradDBError(.usage, "the ids are NULL; pass a column") }
        let count = try writer.append(
            try elements(tensors, tensorCount, "tensors"), ids: ids.pointee,
            fields: try elements(fields, fieldCount, "fields"))
        skipped?.pointee = Int64(count)
    }
}

@c @implementation
public func graddb_writer_flush(_ writer: OpaquePointer!, _ error: ErrorTarget) -> Int32 {
    status(error) {
        try Handles.require(writer, WriterObject.self, "writer").use { try $0.flush() }
    }
}

@c @implementation
public func graddb_writer_close(
    _ writer: OpaquePointer!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let writer = try Handles.require(writer, WriterObject.self, "writer")
        let (summary, notes) = try writer.use { (try $0.close(), $0.notes) }
        for note in notes { Notes.add("notice", "graddb.writer", note) }
        return copyForC(
            JSONObject([
                ("rows", .int(Int64(summary.rows))), ("new_rows", .int(Int64(summary.newRows))),
                ("skipped", .int(Int64(summary.skipped))), ("bytes", .int(Int64(summary.bytes))),
            ]).text)
    }
}

@c @implementation
public func graddb_writer_free(_ writer: OpaquePointer!) {
    Handles.free(writer, as: WriterObject.self)?.abandon()
}

@c @implementation
public func graddb_commit(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ options: UnsafePointer<CChar>!,
    _ flag: OpaquePointer!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let database = try handle(database)
        let table = try text(table, "table's name")
        let given = try GradDBC.options(
            CommitText.self, try text(options, "options"), "options")
        let cancellation = try cancellation(flag)
        let options = try given.options
        let result = try database.write(cancellation) {
            try $0.commitStaged(
                into: table, checkpoint: given.checkpoint, options: options,
                cancellation: cancellation)
        }
        for note in result.notes { Notes.add("notice", "graddb.writer", note) }
        return copyForC(result.json(table: table, checkpoint: given.checkpoint).text)
    }
}

@c @implementation
public func graddb_staged(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let database = try handle(database)
        let table = try database.table(try text(table, "table's name")).name
        let found = try StagedIngest.list(database: database.path)
            .filter { $0.document.name == table }
        return copyForC(JSONValue.array(found.map { .object($0.json) }).text)
    }
}

@c @implementation
public func graddb_abandon(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!,
    _ checkpoint: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> Int32 {
    status(error) {
        let database = try handle(database)
        let table = try text(table, "table's name")
        let checkpoint = try text(checkpoint, "checkpoint's name")
        try database.write { try $0.abandonStaged(table, checkpoint: checkpoint) }
    }
}

/// Options of a writer as JSON.
private struct WriterText: Decodable {
    var checkpoint: String
    var step: Int64?
    var weight: Double?
    var ranks: Int?
    var rank: Int?
    var rowGroup: Int?
    var resume: Bool?
    var threads: Int?
    var projectors: [String: ProjectorDocument]?

    private enum CodingKeys: String, CodingKey {
        case checkpoint, step, weight, ranks, rank, resume, threads, projectors
        case rowGroup = "row_group"
    }

    var options: StagedOptions {
        get throws {
            var options = StagedOptions(checkpoint: checkpoint)
            options.step = step
            options.weight = weight
            options.ranks = ranks ?? 1
            options.rank = rank ?? 0
            options.rowsPerGroup = rowGroup
            options.resume = resume ?? false
            options.threads = try threadCount(threads ?? 0)
            return options
        }
    }
}

/// Options of a commit as JSON.
private struct CommitText: Decodable {
    var checkpoint: String
    var tag: String?
    var message: String?
    var partial: Bool?
    var threads: Int?

    var options: StagedCommitOptions {
        get throws {
            var options = StagedCommitOptions()
            options.tag = tag
            options.message = message ?? ""
            options.partial = partial ?? false
            options.threads = try threadCount(threads ?? 0)
            return options
        }
    }
}
