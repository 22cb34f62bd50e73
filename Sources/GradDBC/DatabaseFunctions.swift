// graddb.h, "database": opening, making and describing databases and tables.

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
public func graddb_open(
    _ path: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> OpaquePointer! {
    guarded(error) { Handles.make(try DatabaseHandle(path: try text(path, "path"))) } ?? nil
}

@c @implementation
public func graddb_create(
    _ path: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> OpaquePointer! {
    guarded(error) {
        let path = try text(path, "path")
        ForkGuard.install()
        try ForkGuard.requireOwnThreads()
        try Database.create(at: path)
        return Handles.make(try DatabaseHandle(path: path))
    } ?? nil
}

@c @implementation
public func graddb_close(_ database: OpaquePointer!) {
    Handles.free(database, as: DatabaseHandle.self)?.close()
}

@c @implementation
public func graddb_set_lock_timeout(
    _ database: OpaquePointer!, _ seconds: Double, _ error: ErrorTarget
) -> Int32 {
    status(error) {
        guard seconds >= 0, seconds <= 1e9 else {
            throw GradDBError(.usage, "a lock timeout is 0 to 1e9 seconds, not \(seconds)")
        }
        try handle(database).setLockTimeout(seconds)
    }
}

@c @implementation
public func graddb_info(
    _ database: OpaquePointer!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) { copyForC(try handle(database).reader().infoJSON.text) }
}

@c @implementation
public func graddb_table_info(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        copyForC(try handle(database).table(try text(table, "table's name")).infoJSON.text)
    }
}

@c @implementation
public func graddb_statistics(
    _ database: OpaquePointer!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let reader = try handle(database).reader()
        return copyForC(try reader.statistics.json(path: reader.path).text)
    }
}

@c @implementation
public func graddb_table_snapshots(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let table = try handle(database).table(try text(table, "table's name"))
        return copyForC(JSONValue.array(table.history.reversed().map { .object($0.json) }).text)
    }
}

@c @implementation
public func graddb_create_table(
    _ database: OpaquePointer!, _ schema: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let database = try handle(database)
        let schema = try options(SchemaText.self, try text(schema, "schema"), "schema").schema
        return copyForC(try database.write { try $0.createTable(schema).schemaJSON.text })
    }
}

@c @implementation
public func graddb_tag(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ tag: UnsafePointer<CChar>!,
    _ snapshot: Int64, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let database = try handle(database)
        let (table, tag) = (try text(table, "table's name"), try text(tag, "tag"))
        let number = try database.write {
            try $0.tag(table, tag, snapshot: snapshot < 0 ? nil : UInt64(snapshot))
        }
        return copyForC(
            JSONObject([
                ("table", .string(table)), ("tag", .string(tag)),
                ("snapshot", .int(Int64(number))),
            ]).text)
    }
}

@c @implementation
public func graddb_delete_tag(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ tag: UnsafePointer<CChar>!,
    _ error: ErrorTarget
) -> Int32 {
    status(error) {
        let database = try handle(database)
        let (table, tag) = (try text(table, "table's name"), try text(tag, "tag"))
        try database.write { try $0.deleteTag(table, tag) }
    }
}

func handle(_ database: OpaquePointer?) throws -> DatabaseHandle {
    try Handles.require(database, DatabaseHandle.self, "database")
}

/// Decodes JSON that says what a call is to do.
///
/// - Throws: `.usage` where it is no JSON, or not what the call takes.
func options<Options: Decodable>(
    _ type: Options.Type, _ text: String, _ word: String
) throws -> Options {
    do {
        return try JSONDecoder().decode(type, from: Data(text.utf8))
    } catch let error as GradDBError {
        throw error
    } catch DecodingError.keyNotFound(let key, _) {
        throw GradDBError(.usage, "the \(word) has no \"\(key.stringValue)\"")
    } catch DecodingError.typeMismatch(_, let context),
        DecodingError.valueNotFound(_, let context)
    {
        let key = context.codingPath.map(\.stringValue).joined(separator: ".")
        throw GradDBError(.usage, "the \(word) has a value of the wrong type at \"\(key)\"")
    } catch DecodingError.dataCorrupted(let context) where !context.codingPath.isEmpty {
        let key = context.codingPath.map(\.stringValue).joined(separator: ".")
        throw GradDBError(.usage, "the \(word) has a value that cannot be at \"\(key)\"")
    } catch {
        throw GradDBError(.usage, "the \(word) is not JSON")
    }
}

/// A table's schema as JSON.
private struct SchemaText: Decodable {
    struct LayerText: Decodable {
        var name: String
        var dims: Int
        var codecs: [String]?
        var projector: ProjectorDocument?
    }

    struct FieldText: Decodable {
        var name: String
        var type: String
    }

    var table: String
    var layers: [LayerText]
    var fields: [FieldText]?
    var unit: String?
    var rowGroup: Int?

    private enum CodingKeys: String, CodingKey {
        case table, layers, fields, unit
        case rowGroup = "row_group"
    }

    var schema: TableSchema {
        get throws {
            var schema = TableSchema(
                name: table,
                layers: try layers.map { layer in
                    .init(
                        name: layer.name, dims: layer.dims,
                        codecs: try (layer.codecs ?? ["int8"]).map { try CodecKind(named: $0) },
                        projector: layer.projector)
                },
                fields: try (fields ?? []).map { field in
                    guard let type = FieldType(rawValue: field.type) else {
                        let known = FieldType.allCases.map(\.rawValue).joined(separator: ", ")
                        throw GradDBError(
                            .usage, "there is no field type '\(field.type)'; there are \(known)")
                    }
                    return Field(name: field.name, type: type)
                })
            if let unit {
                guard let known = RowUnit(rawValue: unit) else {
                    throw GradDBError(.usage, "a unit is example or token, not '\(unit)'")
                }
                schema.unit = known
            }
            if let rowGroup { schema.rowsPerGroup = rowGroup }
            return schema
        }
    }
}
