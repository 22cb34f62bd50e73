// Memory of GPUs without kernels: how much is free, and what belongs to a caller in this process, tensors
// of PyTorch for one.

import Synchronization

/// Reads callers' memory on GPUs. Thread-safe.
package enum CUDAMemory {
    private static let contexts = Mutex<[Int: CUDAContext]>([:])

    /// Sees to it that the memory of a GPU can be read.
    ///
    /// - Throws: `.failed`, with the driver's words, where it cannot.
    package static func prepare(gpu: Int) throws {
        try converting { _ = try context(gpu) }
    }

    /// Bytes of a GPU that are free now. No kernels are compiled for it.
    ///
    /// - Throws: `.failed`, with the driver's words.
    package static func free(gpu: Int) throws -> Int {
        try converting { try context(gpu).memory().free }
    }

    /// Copies rows to the host, one after the other, behind what the GPU's default stream has been given
    /// before.
    ///
    /// - Parameters:
    ///   - start: of row 0.
    ///   - stride: bytes from one row to the next.
    ///   - target: its bytes are those of all rows.
    /// - Throws: `.failed`, with the driver's words.
    package static func read(
        _ start: UInt64, rows: Int, stride: Int, gpu: Int,
        into target: UnsafeMutableRawBufferPointer
    ) throws {
        guard rows > 0, !target.isEmpty else { return }
        let rowBytes = target.count / rows
        try converting {
            let context = try context(gpu)
            func copy(_ first: Int, _ bytes: Int) throws {
                let source = start &+ UInt64(bitPattern: Int64(first &* stride))
                try context.call("copying \(bytes.grouped) bytes of a tensor from the device") {
                    $0.copyToHostNow(
                        target.baseAddress.map { $0 + first * rowBytes }, source, bytes)
                }
            }
            if stride == rowBytes { return try copy(0, target.count) }
            for row in 0..<rows { try copy(row, rowBytes) }
        }
    }

    private static func context(_ gpu: Int) throws -> CUDAContext {
        try contexts.withLock { contexts in
            if let known = contexts[gpu] { return known }
            let library = try CUDALibrary.standard()
            let devices = try CUDADevices.all(library)
            guard devices.indices.contains(gpu) else {
                throw DeviceError(
                    .absent,
                    "there is no GPU \(gpu): the NVIDIA driver shows \(devices.count), from 0")
            }
            let made = try CUDAContext(devices[gpu], library, runsKernels: false)
            contexts[gpu] = made
            return made
        }
    }

    private static func converting<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as DeviceError {
            throw GradDBError(.failed, error.message)
        }
    }
}
