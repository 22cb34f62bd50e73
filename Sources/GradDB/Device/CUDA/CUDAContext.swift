// The primary context of a GPU, which a process shares with whoever else uses the GPU in it (PyTorch,
// for one). Calls make it current for their own length only, so that nobody's notion of the current GPU
// changes.

import Synchronization

final class CUDAContext: Sendable {
    /// The generation that kernels are compiled for.
    private static let leastCapability = 8

    let library: CUDALibrary
    let device: CUDADevice
    private let handle: CUDAHandle
    private let lost = Mutex<DeviceError?>(nil)

    /// - Parameter runsKernels: whether the GPU has to be one that GradDB's kernels run on.
    init(_ device: CUDADevice, _ library: CUDALibrary, runsKernels: Bool = true) throws {
        try library.process.check()
        guard !runsKernels || device.capabilityMajor >= Self.leastCapability else {
            throw DeviceError(
                .absent,
                "\(device.title) has compute capability \(device.capabilityMajor)."
                    + "\(device.capabilityMinor); GradDB's kernels need \(Self.leastCapability).0 or later"
            )
        }
        self.library = library
        self.device = device
        var context: OpaquePointer?
        let code = library.functions.retainContext(&context, device.handle)
        handle = CUDAHandle(context)
        try library.check(code, "taking \(device.title)", kind: .absent)
    }

    deinit {
        guard library.process.isCurrent, handle.pointer != nil else { return }
        _ = library.functions.releaseContext(device.handle)
    }

    /// Calls the driver with this context current.
    ///
    /// - Parameters:
    ///   - isOrdered: it is something that a queue is given: whether it fails or something before it, the
    ///     device is lost, unless the arguments were wrong.
    ///   - doing: what is called for.
    /// - Throws: what the device was lost by, if it was.
    func call(
        isOrdered: Bool = false, _ doing: @autoclosure () -> String,
        _ body: (CUDAFunctions) -> CUDAResult
    ) throws {
        try check()
        let functions = library.functions
        var code = functions.pushContext(handle.pointer)
        if code == 0 {
            code = body(functions)
            var popped: OpaquePointer?
            _ = functions.popContext(&popped)
        }
        guard code != 0 else { return }
        let error = library.error(code, "\(doing()) on \(device.title)")
        guard (isOrdered && code != CUDACode.invalidValue) || CUDACode.losesDevice(code) else {
            throw error
        }
        throw lost.withLock { lost in
            let first = lost ?? error
            lost = first
            return first
        }
    }

    /// The same where nobody can be told of a failure: what is freed goes with the context anyway.
    func release(_ body: (CUDAFunctions) -> CUDAResult) {
        guard library.process.isCurrent else { return }
        let functions = library.functions
        guard functions.pushContext(handle.pointer) == 0 else { return }
        _ = body(functions)
        var popped: OpaquePointer?
        _ = functions.popContext(&popped)
    }

    /// Bytes of the device, and those that are free now.
    func memory() throws -> (total: Int, free: Int) {
        var memory = (total: 0, free: 0)
        try call("asking for free memory") { $0.memoryInfo(&memory.free, &memory.total) }
        return memory
    }

    /// - Throws: what the device was lost by; `.failed` in a child of the process that has the context.
    func check() throws {
        try library.process.check()
        if let error = lost.withLock({ $0 }) { throw error }
    }
}

/// Something of the driver's.
struct CUDAHandle: @unchecked Sendable {  // the driver may be called with it by any thread
    let pointer: OpaquePointer?

    init(_ pointer: OpaquePointer?) { self.pointer = pointer }
}
