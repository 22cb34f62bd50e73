/// A GPU, as its driver describes it.
package struct CUDADevice: Sendable, Equatable {
    /// Its number among those that the driver shows (CUDA_VISIBLE_DEVICES).
    package var ordinal: Int
    package var name: String
    package var memoryBytes: Int
    /// Of its generation: (9, 0) for Hopper.
    package var capabilityMajor: Int
    package var capabilityMinor: Int
    package var processorCount: Int
    /// Shared memory that a block can be allowed.
    package var sharedBytes: Int
    /// Where it is in /sys/bus/pci/devices: "0000:17:00.0".
    package var bus: String
    /// The driver's handle of it.
    let handle: Int32

    /// For messages.
    var title: String { "\(name) (GPU \(ordinal))" }

    init(_ ordinal: Int, _ library: CUDALibrary) throws {
        let functions = library.functions
        let doing = "asking for GPU \(ordinal)"
        var handle: Int32 = 0
        try library.check(functions.device(&handle, Int32(clamping: ordinal)), doing, kind: .absent)

        func text(_ ask: @convention(c) (UnsafeMutablePointer<CChar>, Int32, Int32) -> CUDAResult)
            throws -> String
        {
            var bytes = [CChar](repeating: 0, count: 256)
            try library.check(ask(&bytes, Int32(bytes.count - 1), handle), doing)
            return String(
                decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        func attribute(_ number: Int32) throws -> Int {
            var value: Int32 = 0
            try library.check(functions.deviceAttribute(&value, number, handle), doing)
            return Int(value)
        }
        self.ordinal = ordinal
        self.handle = handle
        name = try text(functions.deviceName)
        bus = try text(functions.deviceBus).lowercased()
        memoryBytes = 0
        try library.check(functions.deviceMemory(&memoryBytes, handle), doing)
        capabilityMajor = try attribute(CUDANumber.capabilityMajor)
        capabilityMinor = try attribute(CUDANumber.capabilityMinor)
        processorCount = try attribute(CUDANumber.processorCount)
        sharedBytes = try attribute(CUDANumber.mostSharedBytes)
    }
}

/// The GPUs of this machine.
package enum CUDADevices {
    /// - Throws: `.absent` where there is no driver that can be used, or no GPU.
    package static func all() throws -> [CUDADevice] { try all(CUDALibrary.standard()) }

    /// The numbers that are meant: none is all of them.
    static func ordinals(_ chosen: [Int]) throws -> [Int] {
        try chosen.isEmpty ? all().map(\.ordinal) : chosen
    }

    package static func all(_ library: CUDALibrary) throws -> [CUDADevice] {
        try library.process.check()
        var count: Int32 = 0
        try library.check(library.functions.deviceCount(&count), "counting GPUs", kind: .absent)
        guard count > 0 else { throw DeviceError(.absent, "the NVIDIA driver shows no GPU") }
        return try (0..<Int(count)).map { try CUDADevice($0, library) }
    }
}
