// The host in the part of a device: its memory is a heap of limited size, its queues are threads, its
// kernels their C twins. So the staged scan runs, and is tested, where there is no GPU.

import CGradKernels
import Synchronization

/// A device that is the host.
package final class HostBackend: DeviceBackend {
    package let name = "host"
    package let ordinal: Int
    package let processorCount: Int

    let process = DeviceProcess()
    let memoryOfHost: HostMemory
    private let faults: [HostFault]
    private let calls = Mutex<[HostFault.Call: Int]>([:])
    private let lost = Mutex<DeviceError?>(nil)

    /// - Parameters:
    ///   - memoryBytes: how much device memory there is.
    ///   - threads: how many a launch uses, besides those of the queues.
    ///   - isPoisoned: memory that has not been written to, or has been freed, holds all ones.
    package init(
        memoryBytes: Int, threads: Int = 1, ordinal: Int = 0, isPoisoned: Bool = false,
        faults: [HostFault] = []
    ) {
        self.ordinal = ordinal
        self.faults = faults
        processorCount = max(1, threads)
        memoryOfHost = HostMemory(totalBytes: memoryBytes, isPoisoned: isPoisoned)
    }

    package func memory() throws -> (total: Int, free: Int) {
        try check()
        return (memoryOfHost.totalBytes, memoryOfHost.freeBytes)
    }

    package func allocate(_ bytes: Int) throws -> DeviceAddress {
        try begin(.allocation)
        return try memoryOfHost.allocate(bytes)
    }

    package func free(_ address: DeviceAddress) { memoryOfHost.free(address) }

    package func allocatePinned(_ bytes: Int) throws -> UnsafeMutableRawBufferPointer {
        try begin(.pinned)
        return try memoryOfHost.allocatePinned(bytes)
    }

    package func freePinned(_ memory: UnsafeMutableRawBufferPointer) {
        memoryOfHost.freePinned(memory)
    }

    package func canLaunch(_ kernel: String) -> Bool { DeviceKernels.argumentBytes[kernel] != nil }

    package func makeQueue() throws -> any DeviceQueue {
        try begin(.queue)
        return HostQueue(self)
    }

    /// - Throws: what the device was lost by; `.failed` in a child of its process.
    func check() throws {
        try process.check()
        if let error = lost.withLock({ $0 }) { throw error }
    }

    /// Nothing of what the device does from here on can be believed. Gives the error that it was lost
    /// by, which is the first.
    @discardableResult func lose(_ error: DeviceError) -> DeviceError {
        lost.withLock { lost in
            let first = lost ?? error
            lost = first
            return first
        }
    }

    /// Counts a call, and fails where it was told to.
    private func begin(_ call: HostFault.Call) throws {
        try check()
        if let fault = fault(at: call) { throw fault.error }
    }

    /// Counts a call; the fault that it was told to meet there.
    func fault(at call: HostFault.Call) -> HostFault? {
        guard !faults.isEmpty else { return nil }
        let number = calls.withLock { calls in
            calls[call, default: 0] += 1
            return calls[call, default: 0]
        }
        return faults.first { $0.call == call && $0.number == number }
    }
}
