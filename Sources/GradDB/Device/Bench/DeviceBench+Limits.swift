// What a device can do at most: copies, its memory, its matrix units.

/// Limits of a device as they were measured.
package struct DeviceLimitRates: Sendable {
    package var launchSeconds = 0.0
    package var ringBytes = 0
    package var pinnedBytes = 0
    /// GB/s of copies of pinned memory: to the device in buffers of the ring and long ones, and back.
    package var ring = 0.0
    package var pinned = 0.0
    package var back = 0.0
    /// GB/s of device memory that kernels read, and copy (what is read).
    package var read = 0.0
    package var copy = 0.0
    /// GMAC/s.
    package var int8Peak = 0.0
}

extension DeviceBench {
    private static let mostPinned = 256 << 20
    /// Of a launch that is timed, and of copies that are timed together.
    private static let timedSeconds = 0.002
    /// Thread blocks for each processor; which is best depends on the device.
    private static let grids = [2, 4, 8, DeviceProbe.mostBlocksPerProcessor]

    /// - Parameter bytes: of device memory that is read and copied.
    func limits(bytes: Int, seconds: Double) throws -> DeviceLimitRates {
        var rates = DeviceLimitRates()
        rates.ringBytes = DeviceWorkspace.ringBytes(memory: device.memory)
        rates.pinnedBytes = min(Self.mostPinned, max(bytes, rates.ringBytes))
        let probe = try DeviceProbe(device.backend, bytes: max(bytes, rates.pinnedBytes))
        let pinned = try device.backend.allocatePinned(rates.pinnedBytes)
        defer { device.backend.freePinned(pinned) }
        // Queues are done with it before it goes.
        defer { try? probe.queue.finish() }
        pinned.initializeMemory(as: UInt8.self, repeating: 0x3C)
        let share = seconds / Double(4 + 3 * Self.grids.count)
        rates.launchSeconds = try rounds(share) {
            let began = ContinuousClock.now
            try probe.launchNothing()
            try probe.queue.finish()
            return (ContinuousClock.now - began).seconds
        }.median
        let ring = UnsafeMutableRawBufferPointer(rebasing: pinned[..<rates.ringBytes])
        rates.ring = try rate(probe, share, bytes: ring.count) { try probe.copyIn(ring) }
        rates.pinned = try rate(probe, share, bytes: pinned.count) { try probe.copyIn(pinned) }
        rates.back = try rate(probe, share, bytes: pinned.count) { try probe.copyBack(pinned) }
        for count in Self.grids {
            let blocks = probe.blocks(perProcessor: count)
            let read = try rate(probe, share, bytes: probe.bytes) { try probe.read(blocks: blocks) }
            let copy = try rate(probe, share, bytes: probe.bytes) { try probe.copy(blocks: blocks) }
            rates.read = max(rates.read, read)
            rates.copy = max(rates.copy, copy)
            rates.int8Peak = max(
                rates.int8Peak, try peak(probe, blocks: blocks, seconds: share))
        }
        return rates
    }

    /// Seconds between two events of a queue.
    private func time(_ probe: DeviceProbe, _ body: () throws -> Void) throws -> Double {
        let began = try probe.queue.record()
        try body()
        return max(try probe.queue.record().seconds(since: began), 1e-9)
    }

    /// GB/s of something that is repeated until it takes long enough to be timed.
    private func rate(
        _ probe: DeviceProbe, _ seconds: Double, bytes: Int, _ body: () throws -> Void
    ) throws -> Double {
        var times = 1
        func repeated() throws -> Double {
            try time(probe) { for _ in 0..<times { try body() } }
        }
        while times < 1 << 16, try repeated() < Self.timedSeconds {
            try cancellation.check()
            times *= 2
        }
        return Double(bytes) * Double(times) / (try rounds(seconds, repeated).median) / 1e9
    }

    private func peak(_ probe: DeviceProbe, blocks: Int, seconds: Double) throws -> Double {
        var turns = 4
        var products = 0.0
        func multiplied() throws -> Double {
            try time(probe) { products = try probe.multiply(blocks: blocks, rounds: turns) }
        }
        while turns < 1 << 30, try multiplied() < Self.timedSeconds {
            try cancellation.check()
            turns *= 2
        }
        return products / (try rounds(seconds, multiplied).median) / 1e9
    }
}
