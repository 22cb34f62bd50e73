// What a device can do, as `gradctl bench --device` measured it: what the planner expects of it.

/// What tells the profiles of devices apart.
package struct DeviceKey: Codable, Hashable, Sendable {
    /// As its driver calls it.
    package let name: String
    /// The version of CUDA that the driver has; nil of the host in the part of a device.
    package let driver: String?
    /// The processor beside it: the bus is between the two.
    package let processor: String

    package init(name: String, driver: String?, processor: String) {
        self.name = name
        self.driver = driver
        self.processor = processor
    }

    /// Of a device beside this machine's processor.
    package init(name: String, driver: String?) throws {
        self.init(
            name: name, driver: driver, processor: try MachineKey.current(threads: 1).processor)
    }
}

/// Limits of one device, and what scans do on it.
package struct DeviceProfile: Codable, Equatable, Sendable {
    package let key: DeviceKey
    /// RFC 3339, UTC.
    package let measured: String
    /// Seconds from nothing to a device that runs kernels.
    package var start = 0.0
    /// Seconds of a launch, and waiting for it.
    package var launch = 0.0
    /// GB/s of pinned memory to the device and back, in buffers of the ring and long ones.
    package var ringCopy = 0.0
    package var pinnedCopy = 0.0
    package var backCopy = 0.0
    /// GB/s of kernels that read device memory, or copy it (bytes that are read).
    package var memoryRead = 0.0
    package var memoryCopy = 0.0
    /// GMAC/s of its matrix units.
    package var int8Peak = 0.0
    /// GB/s of scans with nothing on the device, of blocks that are verified on the way.
    package var staged = 0.0
    /// Seconds that a scan takes beside copies, kernels and selection.
    package var passSeconds = 0.0
    package var kernels = DeviceKernelRates()

    package init(key: DeviceKey, measured: String) {
        self.key = key
        self.measured = measured
    }

    /// For the planner. Nil of a profile that makes no sense.
    package var limits: DeviceLimits? {
        guard staged > 0, memoryRead > 0, int8Peak > 0, start >= 0, passSeconds >= 0 else {
            return nil
        }
        var limits = DeviceLimits(
            bus: staged * 1e9, memory: memoryRead * 1e9, products: int8Peak * 1e9, start: start)
        limits.passSeconds = passSeconds
        limits.kernels = kernels
        return limits
    }
}

extension DeviceProfile {
    /// What is stored of devices beside this machine's processor, read once in a process, the newest first.
    private static let known: [DeviceProfile] = {
        guard let processor = try? MachineKey.current(threads: 1).processor else { return [] }
        return load().filter { $0.key.processor == processor }.sorted { $0.measured > $1.measured }
    }()

    /// What was measured of a device of this name.
    package static func limits(name: String, driver: String?) -> DeviceLimits? {
        known.first { $0.key.name == name && $0.key.driver == driver }?.limits
    }

    /// What was measured last of a GPU, while nobody has asked the driver which one there is.
    package static var limitsOfNewestGPU: DeviceLimits? {
        known.first { $0.key.driver != nil }?.limits
    }
}

extension DeviceLimits {
    /// Seconds of scoring rows that lie on the device.
    ///
    /// - Parameters:
    ///   - bytes: stored bytes of the rows, by codec.
    ///   - products: of all rows and queries; counts where nothing was measured.
    package func scoring(
        _ bytes: [(codec: CodecKind, bytes: Double)], queries: Int, products: Double
    ) -> Double {
        let measured = bytes.map { part in
            kernels?.secondsPerByte(part.codec, queries: queries).map { $0 * part.bytes }
        }
        guard measured.contains(where: { $0 == nil }) else {
            return measured.reduce(0) { $0 + ($1 ?? 0) }
        }
        return max(bytes.reduce(0) { $0 + $1.bytes } / memory, products / self.products)
    }
}
