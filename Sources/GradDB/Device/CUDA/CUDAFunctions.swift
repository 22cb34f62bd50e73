// What GradDB calls of NVIDIA's driver, by name: its interface is C, and stable, so that neither its
// headers nor its library are needed to build.

#if canImport(Glibc)
    import Glibc
#endif

/// 0, or what went wrong.
typealias CUDAResult = UInt32

/// The driver's functions. Handles are its own; addresses of device memory are numbers.
struct CUDAFunctions: @unchecked Sendable {  // constant pointers to code
    typealias Handle = OpaquePointer
    typealias Text = UnsafeMutablePointer<CChar>

    let initialize: @convention(c) (UInt32) -> CUDAResult
    let driverVersion: @convention(c) (UnsafeMutablePointer<Int32>) -> CUDAResult
    let errorName:
        @convention(c) (CUDAResult, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> CUDAResult
    let errorText:
        @convention(c) (CUDAResult, UnsafeMutablePointer<UnsafePointer<CChar>?>) -> CUDAResult

    let deviceCount: @convention(c) (UnsafeMutablePointer<Int32>) -> CUDAResult
    let device: @convention(c) (UnsafeMutablePointer<Int32>, Int32) -> CUDAResult
    let deviceName: @convention(c) (Text, Int32, Int32) -> CUDAResult
    let deviceAttribute: @convention(c) (UnsafeMutablePointer<Int32>, Int32, Int32) -> CUDAResult
    let deviceMemory: @convention(c) (UnsafeMutablePointer<Int>, Int32) -> CUDAResult
    let deviceBus: @convention(c) (Text, Int32, Int32) -> CUDAResult

    let retainContext: @convention(c) (UnsafeMutablePointer<Handle?>, Int32) -> CUDAResult
    let releaseContext: @convention(c) (Int32) -> CUDAResult
    let pushContext: @convention(c) (Handle?) -> CUDAResult
    let popContext: @convention(c) (UnsafeMutablePointer<Handle?>) -> CUDAResult

    let memoryInfo:
        @convention(c) (UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>) -> CUDAResult
    let allocate: @convention(c) (UnsafeMutablePointer<UInt64>, Int) -> CUDAResult
    let free: @convention(c) (UInt64) -> CUDAResult
    let allocateHost:
        @convention(c) (UnsafeMutablePointer<UnsafeMutableRawPointer?>, Int, UInt32) -> CUDAResult
    let freeHost: @convention(c) (UnsafeMutableRawPointer?) -> CUDAResult

    let createStream: @convention(c) (UnsafeMutablePointer<Handle?>, UInt32) -> CUDAResult
    let destroyStream: @convention(c) (Handle?) -> CUDAResult
    let finishStream: @convention(c) (Handle?) -> CUDAResult
    let waitForEvent: @convention(c) (_ stream: Handle?, _ event: Handle?, UInt32) -> CUDAResult
    let copyToDevice: @convention(c) (UInt64, UnsafeRawPointer?, Int, Handle?) -> CUDAResult
    let copyToHost: @convention(c) (UnsafeMutableRawPointer?, UInt64, Int, Handle?) -> CUDAResult
    /// Behind what the default stream has been given before; returns when it is done.
    let copyToHostNow: @convention(c) (UnsafeMutableRawPointer?, UInt64, Int) -> CUDAResult
    let fill: @convention(c) (UInt64, UInt8, Int, Handle?) -> CUDAResult

    let createEvent: @convention(c) (UnsafeMutablePointer<Handle?>, UInt32) -> CUDAResult
    let destroyEvent: @convention(c) (Handle?) -> CUDAResult
    let recordEvent: @convention(c) (_ event: Handle?, _ stream: Handle?) -> CUDAResult
    let finishEvent: @convention(c) (Handle?) -> CUDAResult
    let elapsed:
        @convention(c) (UnsafeMutablePointer<Float>, _ start: Handle?, _ end: Handle?) -> CUDAResult

    let loadModule:
        @convention(c) (
            UnsafeMutablePointer<Handle?>, UnsafeRawPointer?, UInt32, UnsafeMutablePointer<UInt32>?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> CUDAResult
    let unloadModule: @convention(c) (Handle?) -> CUDAResult
    let moduleFunction:
        @convention(c) (UnsafeMutablePointer<Handle?>, Handle?, UnsafePointer<CChar>) -> CUDAResult
    let setFunctionAttribute: @convention(c) (Handle?, Int32, Int32) -> CUDAResult
    let launch:
        @convention(c) (
            Handle?, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, Handle?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
            UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> CUDAResult

    /// - Throws: `.absent` where the library lacks one of them.
    init(_ library: UnsafeMutableRawPointer, path: String) throws {
        func function<F>(_ name: String, as type: F.Type = F.self) throws -> F {
            guard let symbol = dlsym(library, name) else {
                throw DeviceError(
                    .absent,
                    "the NVIDIA driver (\(path)) has no function \(name): it is too old, or not a "
                        + "driver; install one for CUDA \(CUDALibrary.leastVersionText) or later")
            }
            return unsafeBitCast(symbol, to: type)
        }
        initialize = try function("cuInit")
        driverVersion = try function("cuDriverGetVersion")
        errorName = try function("cuGetErrorName")
        errorText = try function("cuGetErrorString")
        deviceCount = try function("cuDeviceGetCount")
        device = try function("cuDeviceGet")
        deviceName = try function("cuDeviceGetName")
        deviceAttribute = try function("cuDeviceGetAttribute")
        deviceMemory = try function("cuDeviceTotalMem_v2")
        deviceBus = try function("cuDeviceGetPCIBusId")
        retainContext = try function("cuDevicePrimaryCtxRetain")
        releaseContext = try function("cuDevicePrimaryCtxRelease_v2")
        pushContext = try function("cuCtxPushCurrent_v2")
        popContext = try function("cuCtxPopCurrent_v2")
        memoryInfo = try function("cuMemGetInfo_v2")
        allocate = try function("cuMemAlloc_v2")
        free = try function("cuMemFree_v2")
        allocateHost = try function("cuMemHostAlloc")
        freeHost = try function("cuMemFreeHost")
        createStream = try function("cuStreamCreate")
        destroyStream = try function("cuStreamDestroy_v2")
        finishStream = try function("cuStreamSynchronize")
        waitForEvent = try function("cuStreamWaitEvent")
        copyToDevice = try function("cuMemcpyHtoDAsync_v2")
        copyToHost = try function("cuMemcpyDtoHAsync_v2")
        copyToHostNow = try function("cuMemcpyDtoH_v2")
        fill = try function("cuMemsetD8Async")
        createEvent = try function("cuEventCreate")
        destroyEvent = try function("cuEventDestroy_v2")
        recordEvent = try function("cuEventRecord")
        finishEvent = try function("cuEventSynchronize")
        elapsed = try function("cuEventElapsedTime")
        loadModule = try function("cuModuleLoadDataEx")
        unloadModule = try function("cuModuleUnload")
        moduleFunction = try function("cuModuleGetFunction")
        setFunctionAttribute = try function("cuFuncSetAttribute")
        launch = try function("cuLaunchKernel")
    }
}

/// The driver's numbers for what it is asked.
enum CUDANumber {
    static let processorCount: Int32 = 16
    static let capabilityMajor: Int32 = 75
    static let capabilityMinor: Int32 = 76
    /// Bytes of shared memory that a block may be allowed to have.
    static let mostSharedBytes: Int32 = 97
    /// Of a function: what it is allowed.
    static let functionSharedBytes: Int32 = 8
    static let streamApartFromOthers: UInt32 = 1
    /// Who waits for an event sleeps.
    static let eventSleeps: UInt32 = 1
    /// Pinned for all devices.
    static let hostPortable: UInt32 = 1
    static let jitErrorLog: UInt32 = 5
    static let jitErrorLogBytes: UInt32 = 6
}
