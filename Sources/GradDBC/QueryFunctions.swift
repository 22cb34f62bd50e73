// graddb.h, "queries".

// swift-format-ignore-file: AlwaysUseLowerCamelCase
// (the names are those of graddb.h)

import CGradDB
import GradDB
import GradDBQuery

@c @implementation
public func graddb_query(
    _ database: OpaquePointer!, _ statement: UnsafePointer<CChar>!, _ table: UnsafePointer<CChar>!,
    _ mode: Int32, _ parameters: UnsafePointer<graddb_parameter>!, _ parameterCount: Int,
    _ json: UnsafePointer<CChar>!, _ flag: OpaquePointer!, _ error: ErrorTarget
) -> OpaquePointer! {
    guarded(error) {
        let database = try handle(database)
        let statement = try text(statement, "statement")
        let given = try QueryText(json)
        var options = QueryOptions()
        options.threads = try threadCount(given.threads ?? 0)
        options.defaultTable = try optionalText(table, "table's name")
        options.cancellation = try cancellation(flag)
        try options.bind(try elements(parameters, parameterCount, "parameters"))
        let explain: Statement.Explain? =
            switch mode {
            case Int32(GRADDB_RUN): nil
            case Int32(GRADDB_EXPLAIN): .plan
            case Int32(GRADDB_EXPLAIN_ANALYZE): .analyze
            default: throw GradDBError(.usage, "there is no mode \(mode) of a query")
            }
        // A driver is started last: what is wrong with a call is found out before.
        options.device = try DeviceText.use(given.device, memory: given.deviceMemory)
        let engine = QueryEngine(try database.reader(), options: options)
        let prepared = try engine.prepare(statement, explain: explain)
        return Handles.make(try ResultObject(prepared, of: engine))
    } ?? nil
}

@c @implementation
public func graddb_result_rows(_ result: OpaquePointer!) -> Int64 {
    Int64(Handles.object(result, as: ResultObject.self)?.rows ?? 0)
}

@c @implementation
public func graddb_result_columns(_ result: OpaquePointer!) -> Int64 {
    Int64(Handles.object(result, as: ResultObject.self)?.columns.count ?? 0)
}

@c @implementation
public func graddb_result_column(
    _ result: OpaquePointer!, _ index: Int64, _ column: UnsafeMutablePointer<graddb_column>!,
    _ error: ErrorTarget
) -> Int32 {
    status(error) {
        let result = try Handles.require(result, ResultObject.self, "result")
        guard let column else { throw GradDBError(.usage, "the column is NULL") }
        guard result.columns.indices.contains(Int(index)) else {
            throw GradDBError(
                .usage, "there is no column \(index); there are \(result.columns.count)")
        }
        column.pointee = result.columns[Int(index)].cColumn
    }
}

@c @implementation
public func graddb_result_is_plan(_ result: OpaquePointer!) -> Int32 {
    Handles.object(result, as: ResultObject.self)?.isPlan == true ? 1 : 0
}

@c @implementation
public func graddb_result_plan_json(_ result: OpaquePointer!) -> UnsafePointer<CChar>! {
    Handles.object(result, as: ResultObject.self).map { UnsafePointer($0.planJSON.pointer) }
}

@c @implementation
public func graddb_result_plan_text(_ result: OpaquePointer!) -> UnsafePointer<CChar>! {
    Handles.object(result, as: ResultObject.self).map { UnsafePointer($0.planText.pointer) }
}

@c @implementation
public func graddb_result_free(_ result: OpaquePointer!) {
    _ = Handles.free(result, as: ResultObject.self)
}

/// How to run a statement.
private struct QueryText: Decodable {
    var threads: Int?
    var device: String?
    var deviceMemory: Int?

    private enum CodingKeys: String, CodingKey {
        case threads, device
        case deviceMemory = "device_memory"
    }

    init(_ json: UnsafePointer<CChar>?) throws {
        if let text = try optionalText(json, "options") {
            self = try options(Self.self, text, "options")
        }
    }
}
