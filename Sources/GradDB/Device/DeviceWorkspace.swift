// What a device has between scans: queues, the heap, items that stay, the ring of pinned buffers. One
// scan at a time uses it.

import CGradKernels

/// A device's queues and memory.
package final class DeviceWorkspace {
    /// A buffer of the ring: pinned memory, and where it lands on the device.
    final class Slot {
        let pinned: UnsafeMutableRawBufferPointer
        let landing: DeviceAddress
        /// When both may be used again.
        var isFree: (any DeviceEvent)?

        init(_ pinned: UnsafeMutableRawBufferPointer, _ landing: DeviceAddress) {
            self.pinned = pinned
            self.landing = landing
        }
    }

    /// Buffers of the ring: one is being copied, one waits for it, two are being filled.
    static let slotCount = 4
    private static let slotBytes = 32 << 20
    private static let arenaBytes = 4 << 20

    package let backend: any DeviceBackend
    let copying: any DeviceQueue
    let compute: any DeviceQueue
    package let heap: DeviceHeap
    package let resident: ResidentItems
    /// Whether launches that score are timed one by one.
    var timesScores = false
    private let pins: ItemPins
    private(set) var slots: [Slot] = []
    /// Whether bounds of 16-bit floats hold here, where that has been tried (HalfTrial).
    var trials: [CodecKind: Bool] = [:]
    private let arena: Arena

    /// Bytes that items may take: a quarter is for what a scan needs beside them.
    static func residentLimit(memory: Int) -> Int { memory / 4 * 3 }

    /// - Parameters:
    ///   - memory: bytes of the device that it may take.
    ///   - pins: items that stay.
    package init(
        _ backend: any DeviceBackend, memory: Int, pins: ItemPins = ItemPins()
    ) throws {
        self.backend = backend
        copying = try backend.makeQueue()
        compute = try backend.makeQueue()
        heap = DeviceHeap(backend, limit: memory, extentBytes: min(256 << 20, max(1, memory / 4)))
        resident = ResidentItems(heap, limit: Self.residentLimit(memory: memory), pins: pins)
        self.pins = pins
        guard let device = heap.allocate(Self.arenaBytes) else {
            throw DeviceError(
                .outOfMemory,
                "\(backend.name) has no \(Self.arenaBytes >> 20) MiB of memory to begin with, of the "
                    + "\(memory) bytes that may be used: give more by --gpu-memory")
        }
        arena = Arena(try backend.allocatePinned(Self.arenaBytes), device)
    }

    deinit {
        try? finish()
        for slot in slots { backend.freePinned(slot.pinned) }
        for memory in spare { backend.freePinned(memory) }
        backend.freePinned(arena.pinned)
    }

    // MARK: the ring

    /// Bytes of a buffer, where no item needs more, of a device of which so much may be used.
    static func ringBytes(memory: Int) -> Int { min(slotBytes, memory / 32) }

    /// Sees to it that every buffer takes `bytes` at least.
    func prepareRing(holding bytes: Int) throws {
        let wanted = max(bytes, Self.ringBytes(memory: heap.limit))
        guard (slots.map(\.pinned.count).min() ?? 0) < bytes else { return }
        try finish()
        for slot in slots {
            backend.freePinned(slot.pinned)
            heap.free(slot.landing)
        }
        slots = []
        for _ in 0..<Self.slotCount {
            let landing = try allocate(wanted, for: "a buffer for blocks")
            do {
                slots.append(Slot(try backend.allocatePinned(wanted), landing))
            } catch {
                heap.free(landing)
                throw error
            }
        }
    }

    /// A piece of memory, for which items that stay may have to go.
    func allocate(_ bytes: Int, for what: String) throws -> DeviceAddress {
        if let address = heap.allocate(bytes) { return address }
        resident.removeAll()
        if let address = heap.allocate(bytes) { return address }
        let kept = pins.bytes > 0 ? ", \(pins.bytes) of them by tables that are kept there" : ""
        throw DeviceError(
            .outOfMemory,
            "\(backend.name) has no memory for \(what) of \(bytes) bytes; of the \(heap.limit) that "
                + "may be used, \(heap.usedBytes) are in use\(kept): give more by --gpu-memory")
    }

    /// Waits until neither queue uses any memory, whether they fail or not.
    func finish() throws {
        let copies = Result { try copying.finish() }
        try compute.finish()
        try copies.get()
    }

    // MARK: pinned memory of scans

    /// What scans have given back: a driver takes longer to pin memory than many a scan takes.
    private var spare: [UnsafeMutableRawBufferPointer] = []
    private static let mostSpareBytes = 256 << 20

    /// Pinned memory, for a scan.
    func takePinned(_ bytes: Int) throws -> UnsafeMutableRawBufferPointer {
        let fitting = spare.indices.filter { spare[$0].count >= bytes }
        if let best = fitting.min(by: { spare[$0].count < spare[$1].count }) {
            return spare.remove(at: best)
        }
        // In few sizes, so that the next scan finds what it needs.
        var size = 64 << 10
        while size < bytes { size *= 2 }
        return try backend.allocatePinned(size)
    }

    /// To be called when no queue uses it any more.
    func givePinned(_ memory: UnsafeMutableRawBufferPointer) {
        spare.append(memory)
        while spare.reduce(0, { $0 + $1.count }) > Self.mostSpareBytes {
            backend.freePinned(spare.removeFirst())
        }
    }

    // MARK: small uploads

    /// Pinned memory for what launches are told, and its place on the device.
    private final class Arena {
        let pinned: UnsafeMutableRawBufferPointer
        let device: DeviceAddress
        var used = 0

        init(_ pinned: UnsafeMutableRawBufferPointer, _ device: DeviceAddress) {
            self.pinned = pinned
            self.device = device
        }

        /// Room for so many bytes; nil until it is reset.
        func take(_ bytes: Int) -> Range<Int>? {
            let first = DeviceHeap.rounded(used)
            guard used == 0 || first + bytes <= pinned.count else { return nil }
            let start = used == 0 ? 0 : first
            used = start + bytes
            return start..<used
        }
    }

    /// Most bytes of one upload.
    static var mostUploaded: Int { arenaBytes }

    private func take(_ bytes: Int) throws -> Range<Int> {
        precondition(bytes <= Self.arenaBytes)
        if let range = arena.take(bytes) { return range }
        // All of it may still be read.
        try compute.finish()
        arena.used = 0
        guard let range = arena.take(bytes) else { preconditionFailure("an empty arena is full") }
        return range
    }

    /// Brings items and tiles to the device, in the order of the compute queue: for the launch that
    /// follows.
    func upload(
        _ items: [gd_item], _ tiles: [gd_tile]
    ) throws -> (items: DeviceAddress, tiles: DeviceAddress) {
        try items.withUnsafeBytes { items in
            try tiles.withUnsafeBytes { tiles in
                let second = DeviceHeap.rounded(items.count)
                let range = try take(second + tiles.count)
                let pinned = UnsafeMutableRawBufferPointer(rebasing: arena.pinned[range])
                pinned.copyMemory(from: items)
                UnsafeMutableRawBufferPointer(rebasing: pinned[second...]).copyMemory(from: tiles)
                let target = arena.device + range.lowerBound
                try compute.copy(UnsafeRawBufferPointer(pinned), to: target)
                return (target, target + second)
            }
        }
    }

    /// Fills a part of the device's memory by way of pinned memory, in the order of the compute queue.
    func upload(
        to target: DeviceAddress, bytes: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Void
    ) throws {
        guard bytes <= Self.arenaBytes else {
            let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 64)
            defer { whole.deallocate() }
            fill(whole)
            for first in stride(from: 0, to: bytes, by: Self.arenaBytes) {
                let part = whole[first..<min(bytes, first + Self.arenaBytes)]
                try upload(to: target + first, bytes: part.count) {
                    $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
                }
            }
            return
        }
        let range = try take(bytes)
        let pinned = UnsafeMutableRawBufferPointer(rebasing: arena.pinned[range])
        fill(pinned)
        try compute.copy(UnsafeRawBufferPointer(pinned), to: target)
    }
}
