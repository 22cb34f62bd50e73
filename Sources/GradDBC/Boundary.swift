// Where Swift ends: errors become codes and handles, C's texts become strings. Everything that is
// exported goes through here.

import CGradDB
import GradDB

#if canImport(Glibc)
    import Glibc
#endif

/// Where a function leaves its error.
public typealias ErrorTarget = UnsafeMutablePointer<OpaquePointer?>?

/// What a `graddb_error` stands for.
final class ErrorObject: Sendable {
    let kind: GradDBError.Kind
    let message: CText

    init(_ error: GradDBError) {
        kind = error.kind
        message = CText(error.message)
    }
}

/// A text in C's form, as long as it lives.
final class CText: @unchecked Sendable {  // never written to after its making
    let pointer: UnsafeMutablePointer<CChar>

    init(_ text: String) { pointer = copyForC(text) }

    deinit { free(pointer) }
}

/// A copy that C frees. A zero byte within ends the text for whoever reads it.
func copyForC(_ text: String) -> UnsafeMutablePointer<CChar> {
    let bytes = text.utf8.count + 1
    guard let copy = malloc(bytes) else {
        // Without a few bytes of memory nothing can go on, and nothing can be reported either.
        abort()
    }
    let target = copy.assumingMemoryBound(to: CChar.self)
    var index = 0
    for byte in text.utf8 {
        target[index] = CChar(bitPattern: byte)
        index += 1
    }
    target[index] = 0
    return target
}

/// Runs `body`; a failure goes to `target`, and becomes nil.
func guarded<R>(_ target: ErrorTarget, _ body: () throws -> R) -> R? {
    Notes.collect()
    target?.pointee = nil
    do {
        return try body()
    } catch {
        let failure = error as? GradDBError ?? GradDBError(.failed, "\(error)")
        target?.pointee = Handles.make(ErrorObject(failure))
        return nil
    }
}

/// The same for functions that return a code.
func status(_ target: ErrorTarget, _ body: () throws -> Void) -> Int32 {
    var own: OpaquePointer?
    return withUnsafeMutablePointer(to: &own) { own in
        if guarded(own, body) != nil {
            target?.pointee = nil
            return Int32(GRADDB_OK)
        }
        let kind = Handles.object(own.pointee, as: ErrorObject.self)?.kind ?? .failed
        if let target {
            target.pointee = own.pointee
        } else {
            _ = Handles.free(own.pointee, as: ErrorObject.self)
        }
        return kind.rawValue
    }
}

/// - Throws: `.usage` for NULL and for what is not UTF-8.
func text(_ pointer: UnsafePointer<CChar>?, _ word: String) throws -> String {
    guard let text = try optionalText(pointer, word) else {
        throw GradDBError(.usage, "the \(word) is NULL; pass a text")
    }
    return text
}

func optionalText(_ pointer: UnsafePointer<CChar>?, _ word: String) throws -> String? {
    guard let pointer else { return nil }
    guard let text = String(validatingCString: pointer) else {
        throw GradDBError(.usage, "the \(word) is not UTF-8")
    }
    return text
}

/// The elements of a C array.
///
/// - Throws: `.usage` for NULL with a count above 0, and for a count that cannot be.
func elements<Element>(
    _ start: UnsafePointer<Element>?, _ count: Int, _ word: String
) throws -> UnsafeBufferPointer<Element> {
    guard count > 0 else {
        guard count == 0 else { throw GradDBError(.usage, "\(count) \(word) cannot be") }
        return UnsafeBufferPointer(start: nil, count: 0)
    }
    guard let start else {
        throw GradDBError(.usage, "the array of \(count) \(word) is NULL")
    }
    return UnsafeBufferPointer(start: start, count: count)
}

/// The flag of a call; one that nobody trips for NULL.
func cancellation(_ handle: OpaquePointer?) throws -> Cancellation {
    guard handle != nil else { return Cancellation() }
    return try Handles.require(handle, Cancellation.self, "cancellation")
}
