// Bytes that are there twice, in the host's memory and in a device's, at the same distances from where
// they start: arguments of a kernel are the same for both but for that.

import CGradKernels

/// Where values lie in paired memory.
struct PairedPlace: Hashable {
    var offset: Int
    var bytes: Int
}

final class PairedMemory {
    private let backend: any DeviceBackend
    private let queue: any DeviceQueue
    /// What goes to the device, and what has come back from it.
    private let pinned: UnsafeMutableRawBufferPointer
    /// What the twins of the kernels work on.
    private let twin: UnsafeMutableRawBufferPointer
    private let device: DeviceAddress
    private var used = 0
    /// Where there are addresses in the memory itself.
    private var pointers: [(at: Int, to: PairedPlace)] = []

    init(_ backend: any DeviceBackend, bytes: Int) throws {
        self.backend = backend
        queue = try backend.makeQueue()
        pinned = try backend.allocatePinned(bytes)
        do {
            device = try backend.allocate(bytes)
        } catch {
            backend.freePinned(pinned)
            throw error
        }
        twin = .allocate(byteCount: bytes, alignment: 256)
    }

    deinit {
        try? queue.finish()
        backend.free(device)
        backend.freePinned(pinned)
        twin.deallocate()
    }

    /// Forgets what is there.
    func removeAll() {
        used = 0
        pointers = []
    }

    // MARK: values

    /// - Throws: `.outOfMemory`.
    func reserve(_ bytes: Int) throws -> PairedPlace {
        let first = DeviceHeap.rounded(used)
        guard first + bytes <= pinned.count else {
            throw DeviceError(
                .outOfMemory, "a case of the check needs more than \(pinned.count) bytes")
        }
        used = first + bytes
        return PairedPlace(offset: first, bytes: bytes)
    }

    func add<Value>(_ values: [Value]) throws -> PairedPlace {
        let place = try reserve(values.count * MemoryLayout<Value>.stride)
        values.withUnsafeBytes { bytes(place).copyMemory(from: $0) }
        return place
    }

    /// - Parameter places: of each item's slabs and statistics.
    func add(
        _ items: [gd_item], _ places: [(slabs: PairedPlace, statistics: PairedPlace)]
    ) throws -> PairedPlace {
        let place = try add(items)
        for (number, item) in places.enumerated() {
            let at = place.offset + number * MemoryLayout<gd_item>.stride
            pointers.append((at, item.slabs))
            pointers.append((at + 8, item.statistics))
        }
        return place
    }

    /// Bytes before they are sent.
    func bytes(_ place: PairedPlace) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: pinned[place.offset..<place.offset + place.bytes])
    }

    /// Brings everything to both memories.
    func send() throws {
        let all = UnsafeRawBufferPointer(rebasing: pinned[..<used])
        twin.copyMemory(from: all)
        for (at, place) in pointers {
            pinned.storeBytes(of: device.value.at(place), toByteOffset: at, as: UInt64.self)
            twin.storeBytes(of: twinStart.at(place), toByteOffset: at, as: UInt64.self)
        }
        try queue.copy(all, to: device)
        try queue.finish()
    }

    private var twinStart: UInt64 { UInt64(UInt(bitPattern: twin.baseAddress)) }

    // MARK: kernels

    /// Runs a kernel on the device, and its twin.
    ///
    /// - Parameter arguments: those for a memory that starts at an address.
    func launch<Arguments>(
        _ kernel: String, x: Int, y: Int = 1, _ arguments: (_ start: UInt64) -> Arguments
    ) throws {
        var there = arguments(device.value)
        try queue.launch(kernel, x: x, y: y, &there)
        var here = arguments(twinStart)
        let code = withUnsafePointer(to: &here) {
            gd_twin_launch(kernel, UInt32(x), UInt32(y), UnsafeRawPointer($0))
        }
        guard code == 0 else {
            throw DeviceError(.failed, "the twin of \(kernel) does not take its arguments: \(code)")
        }
    }

    /// Brings everything back from the device.
    func receive() throws {
        try queue.copy(device, to: UnsafeMutableRawBufferPointer(rebasing: pinned[..<used]))
        try queue.finish()
    }

    /// Values that the device left, and those of the twin.
    func results<Value>(_ place: PairedPlace, as type: Value.Type) -> (
        device: [Value], twin: [Value]
    ) {
        let other = UnsafeRawBufferPointer(
            rebasing: twin[place.offset..<place.offset + place.bytes])
        return (
            Array(UnsafeRawBufferPointer(bytes(place)).bindMemory(to: type)),
            Array(other.bindMemory(to: type))
        )
    }
}

extension UInt64 {
    /// Where a place is in a memory that starts here.
    func at(_ place: PairedPlace) -> UInt64 { self + UInt64(place.offset) }
}
