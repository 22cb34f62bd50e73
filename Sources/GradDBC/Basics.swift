// Versions, errors, notes, cancellation.

// swift-format-ignore-file: AlwaysUseLowerCamelCase
// (the names are those of graddb.h)

import CGradDB
import GradDB

#if canImport(Glibc)
    import Glibc
#endif

private let version = CText(GradDBVersion.current)
private let kindNames = Dictionary(
    uniqueKeysWithValues: GradDBError.Kind.allCases.map { ($0, CText($0.name)) })
private let noError = CText("this is no error's handle, or it has been freed")

@c @implementation
public func graddb_abi_version() -> UInt32 { UInt32(GRADDB_ABI_VERSION) }

@c @implementation
public func graddb_version() -> UnsafePointer<CChar>! { UnsafePointer(version.pointer) }

@c @implementation
public func graddb_string_free(_ text: UnsafeMutablePointer<CChar>!) { free(text) }

@c @implementation
public func graddb_error_code(_ error: OpaquePointer!) -> Int32 {
    (Handles.object(error, as: ErrorObject.self)?.kind ?? .usage).rawValue
}

@c @implementation
public func graddb_error_kind(_ error: OpaquePointer!) -> UnsafePointer<CChar>! {
    let kind = Handles.object(error, as: ErrorObject.self)?.kind ?? .usage
    return UnsafePointer((kindNames[kind] ?? noError).pointer)
}

@c @implementation
public func graddb_error_message(_ error: OpaquePointer!) -> UnsafePointer<CChar>! {
    UnsafePointer((Handles.object(error, as: ErrorObject.self)?.message ?? noError).pointer)
}

@c @implementation
public func graddb_error_free(_ error: OpaquePointer!) {
    _ = Handles.free(error, as: ErrorObject.self)
}

@c @implementation
public func graddb_take_notes() -> UnsafeMutablePointer<CChar>! {
    copyForC(JSONValue.array(Notes.take()).text)
}

@c @implementation
public func graddb_cancellation_create() -> OpaquePointer! { Handles.make(Cancellation()) }

@c @implementation
public func graddb_cancellation_cancel(_ cancellation: OpaquePointer!) {
    Handles.object(cancellation, as: Cancellation.self)?.cancel()
}

@c @implementation
public func graddb_cancellation_free(_ cancellation: OpaquePointer!) {
    _ = Handles.free(cancellation, as: Cancellation.self)
}
