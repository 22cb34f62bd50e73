// A device that is to be measured: started by itself, so that its start can be timed, and apart from those
// that this process scans on.

/// A device, as it is before its first scan.
package struct MeasuredDevice {
    package let backend: any DeviceBackend
    package let key: DeviceKey
    /// Bytes of its memory that may be used.
    package let memory: Int
    /// From nothing to a launch that has run.
    package let startSeconds: Double
    /// Of the int8 table, where nobody says.
    package let usualBytes: Int

    /// The devices that are meant, one after the other.
    ///
    /// - Parameters:
    ///   - choice: `gpu` or `staged`.
    ///   - memory: bytes of each that may be used; nil: most of what is free.
    /// - Throws: `DeviceError`; `.usage` for a choice that names no device.
    package static func start(_ choice: DeviceChoice, memory: Int?) throws -> [MeasuredDevice] {
        let clock = ContinuousClock()
        switch choice {
        case .auto, .cpu: throw GradDBError.usage("--device names what is measured: gpu or staged")
        case .staged:
            let bytes = memory ?? Devices.stagedMemory
            let began = clock.now
            let host = HostBackend(memoryBytes: bytes)
            try launch(on: host)
            return [
                MeasuredDevice(
                    backend: host, key: try DeviceKey(name: host.name, driver: nil), memory: bytes,
                    startSeconds: (clock.now - began).seconds,
                    usualBytes: min(1_000_000, bytes / 4))
            ]
        case .gpu(let ordinals):
            // The first of them starts the driver.
            var began = clock.now
            let chosen = try CUDADevices.ordinals(ordinals)
            return try chosen.map { ordinal in
                let gpu = try CUDABackend(ordinal: ordinal)
                try launch(on: gpu)
                let seconds = (clock.now - began).seconds
                defer { began = clock.now }
                let bytes = try memory ?? Devices.usualMemory(of: gpu)
                return MeasuredDevice(
                    backend: gpu, key: try DeviceKey(name: gpu.name, driver: gpu.driverVersion),
                    memory: bytes, startSeconds: seconds,
                    usualBytes: min(52_000 * 65_536, bytes / 4))
            }
        }
    }

    private static func launch(on backend: any DeviceBackend) throws {
        let probe = try DeviceProbe(backend, bytes: 256)
        try probe.launchNothing()
        try probe.queue.finish()
    }
}
