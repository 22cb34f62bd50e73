// graddb.h, what concerns devices: which one to use, what it keeps, tensors that lie there.

// swift-format-ignore-file: AlwaysUseLowerCamelCase
// (the names are those of graddb.h)

import CGradDB
import GradDB

/// Devices as callers name them.
enum DeviceText {
    /// The device that is meant; nil: the processor, also where none is named.
    ///
    /// - Throws: `.usage` for what is none; `.failed` where one that is named is not there.
    static func use(_ name: String?, memory: Int?) throws -> DeviceUse? {
        if let memory, memory < 1 {
            throw GradDBError(.usage, "device_memory is 1 byte or more, not \(memory)")
        }
        return try Devices.use(try name.map { try DeviceChoice(named: $0) } ?? .cpu, memory: memory)
    }
}

@c @implementation
public func graddb_check_gpu(_ gpu: Int32, _ error: ErrorTarget) -> Int32 {
    status(error) { try CUDAMemory.prepare(gpu: Int(gpu)) }
}

@c @implementation
public func graddb_keep(
    _ database: OpaquePointer!, _ table: UnsafePointer<CChar>!, _ json: UnsafePointer<CChar>!,
    _ flag: OpaquePointer!, _ error: ErrorTarget
) -> OpaquePointer! {
    guarded(error) {
        let database = try handle(database)
        let table = try database.table(try text(table, "table's name"))
        let request = try KeepRequest(try text(json, "options"), of: table)
        let object = try KeptObject(request, try cancellation(flag))
        try database.kept.add(object)
        return Handles.make(object)
    } ?? nil
}

@c @implementation
public func graddb_kept_info(
    _ kept: OpaquePointer!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        copyForC(try Handles.require(kept, KeptObject.self, "kept table").json.text)
    }
}

@c @implementation
public func graddb_kept_free(_ kept: OpaquePointer!) {
    Handles.free(kept, as: KeptObject.self)?.release()
}
