// graddb.h, "projectors".

// swift-format-ignore-file: AlwaysUseLowerCamelCase
// (the names are those of graddb.h)

import CGradDB
import GradDB

@c @implementation
public func graddb_projector_create(
    _ projector: UnsafePointer<CChar>!, _ error: ErrorTarget
) -> OpaquePointer! {
    guarded(error) { Handles.make(try ProjectorObject(try text(projector, "projector"))) } ?? nil
}

@c @implementation
public func graddb_projector_info(
    _ projector: OpaquePointer!, _ error: ErrorTarget
) -> UnsafeMutablePointer<CChar>! {
    guarded(error) {
        let document = try Handles.require(projector, ProjectorObject.self, "projector").document
        return copyForC(
            JSONObject([
                ("projector", .object(document.json)), ("hash", .string(document.hash)),
                ("text", .string(document.text)),
            ]).text)
    }
}

@c @implementation
public func graddb_projector_project(
    _ projector: OpaquePointer!, _ tensors: UnsafePointer<graddb_raw_tensor>!, _ count: Int,
    _ rows: Int64, _ vectors: UnsafeMutablePointer<Float>!, _ capacity: Int, _ threads: Int32,
    _ flag: OpaquePointer!, _ error: ErrorTarget
) -> Int32 {
    status(error) {
        let projector = try Handles.require(projector, ProjectorObject.self, "projector")
        let cancellation = try cancellation(flag)
        let threads = try threadCount(Int(threads))
        guard rows >= 0 else { throw GradDBError(.badInput, "\(rows) rows cannot be") }
        guard count != 0 else {
            throw GradDBError(.badInput, "there are no raw tensors; give those of the rows")
        }
        let batch = try rawBatch(try elements(tensors, count, "raw tensors"), rows: Int(rows))
        let dims = projector.document.dims
        let needed = Int(rows).multipliedReportingOverflow(by: dims)
        guard !needed.overflow, capacity >= needed.partialValue else {
            throw GradDBError(
                .usage, "\(rows) vectors of \(dims) dims do not fit into \(capacity) floats")
        }
        guard rows > 0 else { return }
        guard let vectors else { throw GradDBError(.usage, "the memory for vectors is NULL") }
        try projector.project(
            batch, rows: Int(rows),
            into: UnsafeMutableBufferPointer(start: vectors, count: needed.partialValue),
            threads: threads, cancellation: cancellation)
    }
}

@c @implementation
public func graddb_projector_free(_ projector: OpaquePointer!) {
    _ = Handles.free(projector, as: ProjectorObject.self)
}
