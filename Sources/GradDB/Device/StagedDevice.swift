// A device that blocks are brought to: a GPU, or memory of the host in its place. It keeps what it
// has between scans, and runs one scan at a time.

import Synchronization

package final class StagedDevice: ScanDevice {
    private let backend: any DeviceBackend
    private let memory: Int
    private let rates: DeviceLimits
    private let workspace: Monitor<DeviceWorkspace?>
    /// What `usage` tells without waiting for a scan to end.
    private let lastUsage = Mutex<Usage>(Usage())
    private let timesScores = Mutex(false)
    /// What is to stay here.
    private let pins = ItemPins()

    /// What is kept on the device.
    package struct Usage: Sendable, Equatable {
        package var residentBytes = 0
        package var residentItems = 0
        /// Whether it has run a scan.
        package var hasBegun = false
    }

    /// - Parameters:
    ///   - memory: bytes of the device that it may take.
    ///   - rates: what is known of it before its first scan.
    package init(_ backend: any DeviceBackend, memory: Int, rates: DeviceLimits) {
        self.backend = backend
        self.memory = memory
        self.rates = rates
        workspace = Monitor(nil)
    }

    package var name: String { backend.name }

    package var limits: DeviceLimits {
        var limits = rates
        let usage = usage
        limits.residentBytes = usage.residentBytes
        if usage.hasBegun { limits.start = 0 }
        return limits
    }

    package var usage: Usage { lastUsage.withLock { $0 } }

    package func canRun(_ scan: Scan) -> Bool { scan.mayRunOnDevices }

    package func run(
        _ scan: Scan, units: [Int], _ consumer: ScanConsumer, done: (ArraySlice<Int>) -> Void
    ) throws -> ScanCounters {
        try withWorkspace { try Self.run(scan, units, consumer, done, in: $0) }
    }

    private static func run(
        _ scan: Scan, _ units: [Int], _ consumer: ScanConsumer, _ done: (ArraySlice<Int>) -> Void,
        in workspace: DeviceWorkspace
    ) throws -> ScanCounters {
        let staged = try StagedScan(
            workspace, scan, threads: max(1, scan.request.threads), consumer)
        try staged.run(units: units, done: done)
        return staged.counters
    }

    private func withWorkspace<R>(_ body: (DeviceWorkspace) throws -> R) throws -> R {
        try workspace.withLock { workspace in
            let own = try workspace ?? DeviceWorkspace(backend, memory: memory, pins: pins)
            workspace = own
            own.timesScores = timesScores.withLock { $0 }
            defer {
                let usage = Usage(
                    residentBytes: own.resident.bytes, residentItems: own.resident.count,
                    hasBegun: true)
                lastUsage.withLock { $0 = usage }
            }
            do {
                return try body(own)
            } catch let error as DeviceError {
                // Nothing that is on the device can be relied on.
                workspace = nil
                throw error
            }
        }
    }

    /// For benchmarks: has launches that score timed one by one (`DeviceCounters.scoreSeconds`), from here
    /// on.
    func timeScores(_ isTimed: Bool) { timesScores.withLock { $0 = isTimed } }

    /// Forgets what of tables is on the device, and keeps its memory.
    func forgetItems() { workspace.withLock { $0?.resident.removeAll() } }

    package func keep(_ scan: Scan, units: [Int]) throws -> KeptItems {
        let items = scan.items(units)
        let bytes = items.values.reduce(0, +)
        func refuse(_ why: String) -> GradDBError {
            GradDBError(
                .failed,
                "\(name) cannot keep \(bytes.grouped) bytes: \(why); let it use more memory, release "
                    + "what it keeps, or keep fewer layers")
        }
        let limit = DeviceWorkspace.residentLimit(memory: memory)
        guard pins.add(items, limit: limit) else {
            throw refuse(
                "of \(memory.grouped) that may be used \(limit.grouped) are for what stays, of which "
                    + "\(pins.bytes.grouped) are kept already")
        }
        let pins = pins
        let kept = KeptItems(
            device: name, bytes: bytes, rowGroups: units.count, { pins.remove(items.keys) })
        do {
            try withWorkspace { workspace in
                let nobody = ScanConsumer(
                    groups: { _, _ in },
                    selection: ScanSelection(top: 1, bottom: 0, cosineNorms: nil))
                _ = try Self.run(scan, units, nobody, { _ in }, in: workspace)
                guard items.keys.allSatisfy(workspace.resident.contains) else {
                    throw refuse("its memory has no room for all of them")
                }
            }
        } catch {
            kept.release()
            throw error
        }
        return kept
    }

    /// Gives all memory of the device back.
    package func reset() {
        workspace.withLock { $0 = nil }
        lastUsage.withLock { $0 = Usage() }
    }
}

/// Several devices beside each other: row groups are dealt out, the same ones to the same device each
/// time.
package final class DeviceGroup: ScanDevice {
    private let devices: [any ScanDevice]

    /// - Parameter devices: at least one.
    package init(_ devices: [any ScanDevice]) { self.devices = devices }

    package var name: String { devices.map(\.name).joined(separator: ", ") }

    package var limits: DeviceLimits {
        devices.dropFirst().reduce(into: devices[0].limits) { sum, device in
            let limits = device.limits
            sum.bus += limits.bus
            sum.memory += limits.memory
            sum.products += limits.products
            sum.start = max(sum.start, limits.start)
            sum.residentBytes += limits.residentBytes
            sum.passSeconds = max(sum.passSeconds, limits.passSeconds)
            sum.kernels = sum.kernels.flatMap { left in limits.kernels.map { left + $0 } }
        }
    }

    package func canRun(_ scan: Scan) -> Bool { devices.allSatisfy { $0.canRun(scan) } }

    package func run(
        _ scan: Scan, units: [Int], _ consumer: ScanConsumer, done: (ArraySlice<Int>) -> Void
    ) throws -> ScanCounters {
        let threads = max(1, scan.request.threads / devices.count)
        let finished = Mutex<[Int]>([])
        let (devices, share) = (devices, scan.limited(toThreads: threads))
        let counters = Mutex(ScanCounters())
        defer { done(finished.withLock { $0 }[...]) }
        try Parallel.forEach(devices.count, threads: devices.count) { number, _ in
            let own = units.filter { $0 % devices.count == number }
            // Of a scan with fewer threads than devices, two may share a worker's number.
            let workers = max(1, scan.workerCount)
            let first = number * threads
            let part = ScanConsumer(
                groups: { try consumer.groups((first + $0) % workers, $1) },
                selection: consumer.selection,
                selected: { try consumer.selected((first + $0) % workers, $1) })
            let result = try devices[number].run(share, units: own, part) { units in
                finished.withLock { $0 += units }
            }
            counters.withLock { $0 += result }
        }
        return counters.withLock { $0 }
    }

    package func keep(_ scan: Scan, units: [Int]) throws -> KeptItems {
        let threads = max(1, scan.request.threads / devices.count)
        let (devices, share) = (devices, scan.limited(toThreads: threads))
        // What has been kept is released where another device cannot.
        let parts = try Parallel.map(devices.count, threads: devices.count) { number in
            try devices[number].keep(share, units: units.filter { $0 % devices.count == number })
        }
        return KeptItems(
            device: name, bytes: parts.reduce(0) { $0 + $1.bytes }, rowGroups: units.count,
            { for part in parts { part.release() } })
    }
}
