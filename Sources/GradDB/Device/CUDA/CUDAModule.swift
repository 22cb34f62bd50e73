// GradDB's kernels, compiled for a GPU by its driver.

import CGradKernels

final class CUDAModule: Sendable {
    private struct Kernel {
        var function: CUDAHandle
        var sharedBytes: UInt32
    }

    /// Shared memory that every kernel may have.
    private static let ordinarySharedBytes: UInt32 = 48 << 10
    private static let logBytes = 8 << 10

    private let context: CUDAContext
    private let module: CUDAHandle
    /// Those that the GPU has the shared memory for.
    private let kernels: [String: Kernel]

    /// - Parameter image: PTX, ended by a zero; nil for that of this build.
    init(_ context: CUDAContext, image: [CChar]?) throws {
        self.context = context
        module = try Self.load(context, image)
        var kernels: [String: Kernel] = [:]
        do {
            for name in DeviceKernels.argumentBytes.keys.sorted() {
                kernels[name] = try Self.kernel(name, module, context)
            }
        } catch {
            let module = module
            context.release { $0.unloadModule(module.pointer) }
            throw error
        }
        self.kernels = kernels
    }

    deinit {
        let module = module
        context.release { $0.unloadModule(module.pointer) }
    }

    func has(_ kernel: String) -> Bool { kernels[kernel] != nil }

    /// - Throws: `.failed` where the GPU cannot run it.
    func function(_ kernel: String) throws -> (handle: CUDAHandle, sharedBytes: UInt32) {
        guard let found = kernels[kernel] else {
            throw DeviceError(.failed, "\(context.device.title) cannot run the kernel '\(kernel)'")
        }
        return (found.function, found.sharedBytes)
    }

    private static func load(_ context: CUDAContext, _ image: [CChar]?) throws -> CUDAHandle {
        var module: OpaquePointer?
        var log = [CChar](repeating: 0, count: logBytes)
        func load(_ image: UnsafePointer<CChar>, _ functions: CUDAFunctions) -> CUDAResult {
            log.withUnsafeMutableBytes { log in
                var options = [CUDANumber.jitErrorLog, CUDANumber.jitErrorLogBytes]
                var values = [log.baseAddress, UnsafeMutableRawPointer(bitPattern: log.count - 1)]
                return functions.loadModule(
                    &module, image, UInt32(options.count), &options, &values)
            }
        }
        func describe() -> String {
            let text = String(
                decoding: log.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let lines = text.split(separator: "\n").prefix(3).joined(separator: "; ")
            return "compiling GradDB's kernels" + (lines.isEmpty ? "" : " (\(lines))")
        }
        try context.call(describe()) { functions in
            guard let image else { return load(gd_device_ptx(), functions) }
            return load(image, functions)
        }
        return CUDAHandle(module)
    }

    /// Nil where the GPU has too little shared memory for it.
    private static func kernel(
        _ name: String, _ module: CUDAHandle, _ context: CUDAContext
    ) throws -> Kernel? {
        let sharedBytes = gd_shared_bytes(name)
        guard sharedBytes <= max(context.device.sharedBytes, Int(ordinarySharedBytes)) else {
            return nil
        }
        var function: OpaquePointer?
        try context.call("looking for the kernel '\(name)'") {
            $0.moduleFunction(&function, module.pointer, name)
        }
        if sharedBytes > ordinarySharedBytes {
            try context.call("giving \(sharedBytes) bytes of shared memory to the kernel '\(name)'")
            {
                $0.setFunctionAttribute(
                    function, CUDANumber.functionSharedBytes, Int32(sharedBytes))
            }
        }
        return Kernel(function: CUDAHandle(function), sharedBytes: sharedBytes)
    }
}
