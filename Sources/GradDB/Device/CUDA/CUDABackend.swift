/// A GPU of NVIDIA's.
package final class CUDABackend: DeviceBackend {
    package let device: CUDADevice
    let context: CUDAContext
    let module: CUDAModule

    package var name: String { device.name }
    package var ordinal: Int { device.ordinal }
    package var processorCount: Int { device.processorCount }
    /// The CUDA version that its driver has: "12.4".
    var driverVersion: String { CUDALibrary.text(ofVersion: context.library.version) }

    /// The GPU of that number, with GradDB's kernels compiled for it (the driver keeps them on disk).
    ///
    /// - Throws: `.absent` where there is none, or it cannot be used.
    package convenience init(ordinal: Int) throws {
        try self.init(ordinal: ordinal, CUDALibrary.standard())
    }

    /// - Parameter image: other kernels than those of this build, as PTX ended by a zero.
    package init(ordinal: Int, _ library: CUDALibrary, image: [CChar]? = nil) throws {
        let devices = try CUDADevices.all(library)
        guard devices.indices.contains(ordinal) else {
            throw DeviceError(
                .absent,
                "there is no GPU \(ordinal): the NVIDIA driver shows "
                    + (devices.count == 1 ? "one, GPU 0" : "\(devices.count), from 0"))
        }
        device = devices[ordinal]
        context = try CUDAContext(device, library)
        module = try CUDAModule(context, image: image)
    }

    package func memory() throws -> (total: Int, free: Int) { try context.memory() }

    package func allocate(_ bytes: Int) throws -> DeviceAddress {
        var address: UInt64 = 0
        try context.call("allocating \(bytes.grouped) bytes") {
            $0.allocate(&address, max(1, bytes))
        }
        return DeviceAddress(address)
    }

    package func free(_ address: DeviceAddress) { context.release { $0.free(address.value) } }

    package func allocatePinned(_ bytes: Int) throws -> UnsafeMutableRawBufferPointer {
        var memory: UnsafeMutableRawPointer?
        try context.call("allocating \(bytes.grouped) bytes of pinned memory for copies") {
            $0.allocateHost(&memory, max(1, bytes), CUDANumber.hostPortable)
        }
        return UnsafeMutableRawBufferPointer(start: memory, count: bytes)
    }

    package func freePinned(_ memory: UnsafeMutableRawBufferPointer) {
        context.release { $0.freeHost(memory.baseAddress) }
    }

    package func canLaunch(_ kernel: String) -> Bool { module.has(kernel) }

    package func makeQueue() throws -> any DeviceQueue { try CUDAQueue(context, module) }
}
