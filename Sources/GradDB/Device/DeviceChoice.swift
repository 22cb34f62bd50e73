// Which device scans are to run on, as users say it, and the devices of this process.

import Synchronization

/// A device by name.
public enum DeviceChoice: Equatable, Sendable {
    /// A GPU where that is expected to be faster.
    case auto
    case cpu
    /// GPUs by number; all where none is named.
    case gpu([Int])
    /// Host memory in the part of a GPU's.
    case staged

    /// Reads `auto`, `cpu`, `gpu`, `gpu:0`, `gpu:0,1` or `staged`.
    ///
    /// - Throws: `.usage` for anything else.
    public init(named text: String) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        switch (parts[0], parts.count) {
        case ("auto", 1): self = .auto
        case ("cpu", 1): self = .cpu
        case ("staged", 1): self = .staged
        case ("gpu", 1): self = .gpu([])
        case ("gpu", 2):
            let numbers = parts[1].split(separator: ",", omittingEmptySubsequences: false).map {
                Int($0).flatMap { $0 >= 0 ? $0 : nil }
            }
            guard !numbers.contains(nil), Set(numbers).count == numbers.count else { fallthrough }
            self = .gpu(numbers.compactMap { $0 })
        default:
            throw GradDBError.usage(
                "there is no device '\(text)'; there are auto, cpu, gpu, gpu:N, gpu:N,M and staged")
        }
    }
}

/// The devices that this process uses: what they keep, they keep for all its databases.
package enum Devices {
    static let stagedMemory = 1_000_000_000
    /// Of memory in one socket, one thread: only orders of magnitude count before it has been measured.
    private static let stagedRates = DeviceLimits(bus: 4e9, memory: 8e9, products: 5e10, start: 0)

    /// Of a GPU of the data centre, behind a bus of its time, and its driver's start: what is assumed
    /// where `gradctl bench` has not measured it.
    private static let gpuRates = DeviceLimits(
        bus: 20e9, memory: 1.2e12, products: 2e14, start: 0.5)

    /// Of a GPU that has not been asked for yet: as the last one that was measured here.
    static var rates: DeviceLimits { DeviceProfile.limitsOfNewestGPU ?? gpuRates }

    private static func rates(of gpu: CUDABackend) -> DeviceLimits {
        DeviceProfile.limits(name: gpu.name, driver: gpu.driverVersion) ?? gpuRates
    }

    /// Bytes of a GPU that may be used where nobody says.
    static func usualMemory(of gpu: CUDABackend) throws -> Int { try gpu.memory().free / 5 * 4 }

    private struct Key: Hashable {
        var name: String
        var memory: Int?
    }

    private static let known = Mutex<[Key: any ScanDevice]>([:])

    /// The device that is meant; nil: the processor.
    ///
    /// - Parameter memory: bytes of each device that may be used.
    /// - Throws: `.failed` where a device that is named is not there.
    package static func use(_ choice: DeviceChoice, memory: Int?) throws -> DeviceUse? {
        switch choice {
        case .cpu: return nil
        case .staged:
            let device: any ScanDevice = known.withLock { known in
                kept(Key(name: "staged", memory: memory), &known) {
                    let bytes = memory ?? stagedMemory
                    let host = HostBackend(memoryBytes: bytes)
                    return StagedDevice(
                        host, memory: bytes,
                        rates: DeviceProfile.limits(name: host.name, driver: nil) ?? stagedRates)
                }
            }
            return DeviceUse(device, isRequired: true)
        case .auto:
            guard CUDALibrary.mayBeThere else { return nil }
            let device: any ScanDevice = known.withLock { known in
                kept(Key(name: "auto", memory: memory), &known) {
                    UnopenedDevice { try gpus([], memory: memory) }
                }
            }
            return DeviceUse(device, isRequired: false)
        case .gpu(let ordinals):
            do {
                return DeviceUse(try gpus(ordinals, memory: memory), isRequired: true)
            } catch let error as DeviceError {
                throw GradDBError(.failed, error.message)
            }
        }
    }

    /// GPUs by number; none is all of them.
    private static func gpus(_ ordinals: [Int], memory: Int?) throws -> any ScanDevice {
        let chosen = try CUDADevices.ordinals(ordinals)
        let devices = try known.withLock { known in
            try chosen.map { ordinal in
                try kept(Key(name: "gpu:\(ordinal)", memory: memory), &known) {
                    let gpu = try CUDABackend(ordinal: ordinal)
                    return StagedDevice(
                        gpu, memory: try memory ?? usualMemory(of: gpu), rates: rates(of: gpu))
                }
            }
        }
        return devices.count == 1 ? devices[0] : DeviceGroup(devices)
    }

    private static func kept(
        _ key: Key, _ known: inout [Key: any ScanDevice], _ make: () throws -> any ScanDevice
    ) rethrows -> any ScanDevice {
        if let device = known[key] { return device }
        let device = try make()
        known[key] = device
        return device
    }
}

/// The GPUs that there may be: asking the driver takes longer than most scans, so it is asked when a
/// scan is to run there.
private final class UnopenedDevice: ScanDevice {
    private let open: @Sendable () throws -> any ScanDevice
    private let opened = Mutex<Result<any ScanDevice, any Error>?>(nil)

    init(_ open: @escaping @Sendable () throws -> any ScanDevice) { self.open = open }

    private var known: (any ScanDevice)? { opened.withLock { try? $0?.get() } }

    var name: String { known?.name ?? "GPU" }
    var limits: DeviceLimits {
        if let known { return known.limits }
        var limits = Devices.rates
        // One that is not there is not asked twice.
        if opened.withLock({ $0 != nil }) { limits.start = .infinity }
        return limits
    }

    func canRun(_ scan: Scan) -> Bool { scan.mayRunOnDevices }

    func run(
        _ scan: Scan, units: [Int], _ consumer: ScanConsumer, done: (ArraySlice<Int>) -> Void
    ) throws -> ScanCounters {
        try device().run(scan, units: units, consumer, done: done)
    }

    func keep(_ scan: Scan, units: [Int]) throws -> KeptItems {
        try device().keep(scan, units: units)
    }

    private func device() throws -> any ScanDevice {
        try opened.withLock { opened in
            let result = opened ?? Result { try open() }
            opened = result
            return try result.get()
        }
    }
}
