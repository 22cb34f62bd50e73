// Handles: numbers that stand for objects. They look like pointers to C, which keeps their types
// apart, but nothing is ever read through them: a lookup finds the object, or nothing where it was
// freed. No number is given twice, so that a stale handle can never name something else.

import GradDB
import Synchronization

enum Handles {
    private struct Table {
        var next: UInt = 0x1000
        var objects: [UInt: any AnyObject & Sendable] = [:]
    }

    private static let table = Mutex(Table())

    /// A new handle. The object lives until it is freed, and while a call uses it.
    static func make(_ object: any AnyObject & Sendable) -> OpaquePointer? {
        let number = table.withLock { table in
            table.next += 0x10
            table.objects[table.next] = object
            return table.next
        }
        return OpaquePointer(bitPattern: number)
    }

    static func object<Object>(_ handle: OpaquePointer?, as type: Object.Type) -> Object? {
        guard let handle else { return nil }
        return table.withLock { $0.objects[UInt(bitPattern: handle)] } as? Object
    }

    /// - Throws: `.usage` for NULL, and for what is no live handle of this type.
    static func require<Object>(
        _ handle: OpaquePointer?, _ type: Object.Type, _ word: String
    ) throws -> Object {
        guard handle != nil else {
            throw GradDBError(.usage, "the \(word) is NULL; pass the handle of one")
        }
        guard let object = object(handle, as: type) else {
            throw GradDBError(
                .usage, "the \(word)'s handle is not one of this library, or has been freed")
        }
        return object
    }

    static func free<Object>(_ handle: OpaquePointer?, as type: Object.Type) -> Object? {
        guard let handle else { return nil }
        let object = table.withLock { table -> (any AnyObject & Sendable)? in
            let number = UInt(bitPattern: handle)
            guard table.objects[number] is Object else { return nil }
            return table.objects.removeValue(forKey: number)
        }
        return object as? Object
    }
}
