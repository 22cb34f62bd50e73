// What a device does for the staged scan: memory, copies, kernels, and their order. Everything above
// it (the ring, the resident cache, the launches of a scan) is the same for every device.

/// A place in a device's memory.
package struct DeviceAddress: Hashable, Comparable, Sendable {
    package var value: UInt64

    package init(_ value: UInt64) { self.value = value }

    package static func < (a: Self, b: Self) -> Bool { a.value < b.value }
    package static func + (a: Self, bytes: Int) -> Self { Self(a.value + UInt64(bytes)) }
}

/// A kernel, its grid and its arguments: one of the structures of graddb_device.h.
package struct DeviceLaunch {
    package var kernel: String
    package var gridX: Int
    package var gridY = 1
    package var arguments: UnsafeRawPointer

    package init(_ kernel: String, x: Int, y: Int = 1, _ arguments: UnsafeRawPointer) {
        self.kernel = kernel
        gridX = x
        gridY = y
        self.arguments = arguments
    }
}

/// What is done in order. Queues go on beside each other; all calls return at once, unless said
/// otherwise. Whatever a device is given after an error of one of its queues fails with that error. When
/// a queue goes, what it was given is done first.
package protocol DeviceQueue: AnyObject, Sendable {
    /// - Parameter source: pinned memory, untouched until the copy is done.
    func copy(_ source: UnsafeRawBufferPointer, to target: DeviceAddress) throws
    /// - Parameter target: pinned memory.
    func copy(_ source: DeviceAddress, to target: UnsafeMutableRawBufferPointer) throws
    func fill(_ target: DeviceAddress, bytes: Int, with byte: UInt8) throws
    /// The arguments are copied before it returns.
    func launch(_ launch: DeviceLaunch) throws
    /// What happens when all that the queue was given before has been done.
    func record() throws -> any DeviceEvent
    /// What is given to the queue from here on waits for the event.
    func wait(for event: any DeviceEvent) throws
    /// Blocks until everything is done.
    func finish() throws
}

/// A moment in a queue.
package protocol DeviceEvent: AnyObject, Sendable {
    /// Blocks until it has come.
    func wait() throws
    /// Seconds from another event to this one. Blocks until both have come.
    func seconds(since earlier: any DeviceEvent) throws -> Double
}

/// A device's memory and queues. Thread-safe.
///
/// Errors are `DeviceError`: callers that may use the CPU instead do so.
package protocol DeviceBackend: AnyObject, Sendable {
    /// As its driver calls it.
    var name: String { get }
    /// Which of the devices of its kind.
    var ordinal: Int { get }
    /// Units that run thread blocks beside each other.
    var processorCount: Int { get }
    /// Bytes of its memory, and those that are free now.
    func memory() throws -> (total: Int, free: Int)
    /// Aligned to 256 bytes. Holds anything.
    func allocate(_ bytes: Int) throws -> DeviceAddress
    /// Nothing that a queue has still to do uses it.
    func free(_ address: DeviceAddress)
    /// Host memory that copies go to and from without a detour.
    func allocatePinned(_ bytes: Int) throws -> UnsafeMutableRawBufferPointer
    func freePinned(_ memory: UnsafeMutableRawBufferPointer)
    /// Whether it has what the kernel of that name needs (some take more shared memory than others).
    func canLaunch(_ kernel: String) -> Bool
    func makeQueue() throws -> any DeviceQueue
}

/// Why a device cannot be used, or could not go on.
package struct DeviceError: Error, Equatable, CustomStringConvertible {
    package enum Kind: Sendable {
        /// There is none, or no driver, or one that is too old.
        case absent
        case outOfMemory
        /// A kernel failed, or the device was lost: nothing of what it did can be believed.
        case failed
    }

    package var kind: Kind
    /// What and where, with the driver's name for it.
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { message }
}
