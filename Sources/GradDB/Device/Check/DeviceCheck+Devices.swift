// Which devices a check is of.

extension DeviceCheck {
    /// A device that can be checked.
    package struct Subject {
        /// As users name it: "gpu:0", "staged".
        package let device: String
        package let backend: any DeviceBackend
        /// Bytes of it that scans may take.
        let memory: Int

        package var name: String { backend.name }

        /// The same device, for scans.
        package var scanDevice: any ScanDevice {
            StagedDevice(
                backend, memory: memory,
                rates: DeviceLimits(bus: 1, memory: 1, products: 1, start: 0))
        }
    }

    /// Enough for the scans of the check, with room to keep only a part of its table.
    private static let scanBytes = 48 << 20

    /// - Throws: `.failed` where a device is not there, `.usage` for one that is none.
    package static func subjects(_ choice: DeviceChoice) throws -> [Subject] {
        do {
            switch choice {
            case .staged:
                let backend = HostBackend(memoryBytes: memoryBytes + scanBytes, isPoisoned: true)
                return [Subject(device: "staged", backend: backend, memory: scanBytes)]
            case .gpu(let ordinals):
                let chosen = try CUDADevices.ordinals(ordinals)
                return try chosen.map {
                    Subject(
                        device: "gpu:\($0)", backend: try CUDABackend(ordinal: $0),
                        memory: scanBytes)
                }
            case .auto, .cpu:
                throw GradDBError.usage(
                    "the processor is what devices are checked against; name one: gpu, gpu:N or staged"
                )
            }
        } catch let error as DeviceError {
            throw GradDBError(.failed, error.message)
        }
    }
}
