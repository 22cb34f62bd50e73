// The host's memory in the part of a device's: a limited heap, and memory that counts as pinned.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

final class HostMemory: Sendable {
    static let alignment = 256
    static let pinnedAlignment = 4096
    /// What memory holds that nobody has written to, or that has been freed. As a float not finite.
    static let poison: Int32 = 0xFF

    private struct Heap {
        var ranges = AddressRanges()
        var pinned = AddressRanges()
        var usedBytes = 0
    }

    let totalBytes: Int
    private let isPoisoned: Bool
    private let heap = Mutex(Heap())

    init(totalBytes: Int, isPoisoned: Bool) {
        self.totalBytes = totalBytes
        self.isPoisoned = isPoisoned
    }

    deinit {
        heap.withLock { heap in
            for start in heap.ranges.removeAll() + heap.pinned.removeAll() {
                Glibc.free(UnsafeMutableRawPointer(bitPattern: start))
            }
        }
    }

    var freeBytes: Int { heap.withLock { totalBytes - $0.usedBytes } }

    private static func rounded(_ bytes: Int) -> Int {
        max(1, bytes).roundedUp(to: alignment)
    }

    private func make(_ bytes: Int, alignment: Int) -> UnsafeMutableRawPointer? {
        var memory: UnsafeMutableRawPointer?
        guard posix_memalign(&memory, alignment, bytes) == 0, let memory else { return nil }
        if isPoisoned { memset(memory, Self.poison, bytes) }
        return memory
    }

    private func end(_ memory: UnsafeMutableRawPointer, _ bytes: Int) {
        if isPoisoned { memset(memory, Self.poison, bytes) }
        Glibc.free(memory)
    }

    func allocate(_ bytes: Int) throws -> DeviceAddress {
        try heap.withLock { heap in
            let size = Self.rounded(bytes)
            guard size <= totalBytes - heap.usedBytes,
                let memory = make(size, alignment: Self.alignment)
            else {
                throw DeviceError(
                    .outOfMemory,
                    "out of memory, allocating \(bytes.grouped) bytes of the host device's "
                        + "\(totalBytes.grouped), of which \((totalBytes - heap.usedBytes).grouped) are free"
                )
            }
            let start = UInt(bitPattern: memory)
            heap.ranges.insert(start, bytes: size)
            heap.usedBytes += size
            return DeviceAddress(UInt64(start))
        }
    }

    func free(_ address: DeviceAddress) {
        heap.withLock { heap in
            let start = UInt(address.value)
            guard let bytes = heap.ranges.remove(start),
                let memory = UnsafeMutableRawPointer(bitPattern: start)
            else { return assertionFailure("memory that is not the device's is freed") }
            heap.usedBytes -= bytes
            end(memory, bytes)
        }
    }

    func allocatePinned(_ bytes: Int) throws -> UnsafeMutableRawBufferPointer {
        let size = Self.rounded(bytes)
        guard let memory = make(size, alignment: Self.pinnedAlignment) else {
            throw DeviceError(
                .outOfMemory, "out of memory, allocating \(bytes.grouped) bytes of pinned memory")
        }
        heap.withLock { $0.pinned.insert(UInt(bitPattern: memory), bytes: size) }
        return UnsafeMutableRawBufferPointer(start: memory, count: bytes)
    }

    func freePinned(_ memory: UnsafeMutableRawBufferPointer) {
        guard let start = memory.baseAddress else { return }
        guard let bytes = heap.withLock({ $0.pinned.remove(UInt(bitPattern: start)) }) else {
            return assertionFailure("memory that was not pinned is freed")
        }
        end(start, bytes)
    }

    /// The memory of the device at an address.
    ///
    /// - Throws: `.failed` where it is not the device's.
    func pointer(_ address: DeviceAddress, bytes: Int) throws -> UnsafeMutableRawPointer {
        let start = UInt(address.value)
        guard heap.withLock({ $0.ranges.contains(start, bytes: bytes) }),
            let pointer = UnsafeMutableRawPointer(bitPattern: start)
        else {
            throw DeviceError(
                .failed,
                "\(bytes.grouped) bytes at 0x\(String(start, radix: 16)) are not memory of the device"
            )
        }
        return pointer
    }

    /// - Throws: `.failed` where this memory is not pinned.
    func checkPinned(_ memory: UnsafeRawBufferPointer) throws {
        let start = UInt(bitPattern: memory.baseAddress)
        guard heap.withLock({ $0.pinned.contains(start, bytes: memory.count) }) else {
            throw DeviceError(
                .failed,
                "\(memory.count.grouped) bytes of memory that is not pinned cannot be copied")
        }
    }
}
