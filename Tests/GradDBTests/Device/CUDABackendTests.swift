// GPUs through a driver: against a stand-in that is stricter than one, and fails where it is told to.

import CGradKernels
import Foundation
import GradDB
import Testing

@Suite(.enabled(if: StubDriver.canBeBuilt, "the stub of the driver is built by Python"))
struct CUDABackendTests {
    @Test(arguments: ["0", "300"]) func doesWhatADeviceDoes(delay: String) throws {
        let device = try StubDriver.device(["MEMORY": "1048576", "DELAY": delay])
        try DeviceChecks.memoryIsCounted(device)
        try DeviceChecks.tooMuchIsRefused(device)
        try DeviceChecks.bytesComeBack(device)
        try DeviceChecks.eventsKeepQueuesInOrder(device)
        try DeviceChecks.eventsTellTime(StubDriver.device())
        try DeviceChecks.scoresAreThoseOfTheDefinition(device)
        try DeviceChecks.mistakesAreRefused(device)
        try DeviceChecks.copiesAstrayAreRefused(device)
    }

    @Test func devicesAreListed() throws {
        let library = try StubDriver.library(["DEVICES": "3", "MEMORY": "123456789"])
        let devices = try CUDADevices.all(library)
        #expect(devices.map(\.ordinal) == [0, 1, 2])
        #expect(devices.map(\.bus) == ["0000:a0:00.0", "0000:a1:00.0", "0000:a2:00.0"])
        #expect(devices.allSatisfy { $0.name == "Stub GPU" && $0.memoryBytes == 123_456_789 })
        #expect(devices[0].capabilityMajor == 9 && devices[0].processorCount == 2)
        let last = try CUDABackend(ordinal: 2, library)
        #expect(last.ordinal == 2)
        try DeviceChecks.bytesComeBack(last)
    }

    /// Two GPUs beside each other: memory and queues of one are not the other's.
    @Test func devicesAreApart() throws {
        let library = try StubDriver.library(["DEVICES": "2", "DELAY": "100"])
        let devices = try (0..<2).map {
            try CUDABackend(ordinal: $0, library)
        }
        try Parallel.forEach(8, threads: 8) { index, _ in
            try DeviceChecks.eventsKeepQueuesInOrder(devices[index % 2])
        }
        let memory = try devices[0].allocate(256)
        defer { devices[0].free(memory) }
        let pinned = try devices[1].allocatePinned(256)
        defer { devices[1].freePinned(pinned) }
        let queue = try devices[1].makeQueue()
        #expect(throws: DeviceError.self) { try queue.copy(memory, to: pinned) }
    }

    /// Nothing is left in the context, however a test ends.
    @Test func everythingIsGivenBack() throws {
        let log = TemporaryDirectory()
        let library = try StubDriver.library(["LOG": log.file("calls")])
        func use() throws {
            let device = try CUDABackend(ordinal: 0, library)
            try DeviceChecks.bytesComeBack(device)
            try DeviceChecks.eventsKeepQueuesInOrder(device)
        }
        try use()
        let calls = try String(contentsOfFile: log.file("calls"), encoding: .utf8)
        #expect(calls.contains("cuDevicePrimaryCtxRelease_v2"))
        #expect(calls.contains("cuLaunchKernel gd_copy 1 1"))
        #expect(!calls.contains("left behind"), "\(calls)")
    }

    @Test func aChildOfTheProcessIsRefused() throws {
        try DeviceChecks.childrenAreRefused(StubDriver.device())
    }

    // ---- no device ----

    private func expectAbsent(_ text: String, _ body: () throws -> Void) {
        let error = #expect(throws: DeviceError.self) { try body() }
        #expect(error?.kind == .absent, "\(error?.message ?? "")")
        #expect(error?.message.contains(text) == true, "\(error?.message ?? "")")
    }

    @Test func whereThereIsNoDriverThatIsSaid() {
        expectAbsent("there is no NVIDIA driver here: /nowhere/libcuda.so.1") {
            _ = try CUDALibrary(path: "/nowhere/libcuda.so.1")
        }
    }

    @Test func whereThereIsNoGPUThatIsSaid() {
        expectAbsent("CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected") {
            _ = try StubDriver.library(["FAIL": "no-device"])
        }
        expectAbsent("shows no GPU") { _ = try StubDriver.device(["DEVICES": "0"]) }
        expectAbsent("there is no GPU 2: the NVIDIA driver shows 2, from 0") {
            _ = try StubDriver.device(ordinal: 2, ["DEVICES": "2"])
        }
        expectAbsent("there is no GPU -1") { _ = try StubDriver.device(ordinal: -1) }
    }

    @Test func aDriverThatIsTooOldSaysWhichIsNeeded() {
        expectAbsent("runs CUDA 11.4, GradDB's kernels need 12.2 or later") {
            _ = try StubDriver.library(["FAIL": "old-driver"])
        }
    }

    @Test func aMissingFunctionIsNamed() {
        expectAbsent("has no function cuMemHostAlloc: it is too old") {
            _ = try StubDriver.library(without: "cuMemHostAlloc")
        }
    }

    @Test func anOldGPUIsRefused() {
        expectAbsent("Stub GPU (GPU 0) has compute capability 7.5") {
            _ = try StubDriver.device(["CAPABILITY": "7.5"])
        }
    }

    // ---- kernels ----

    @Test func kernelsThatDoNotCompileShowTheLog() throws {
        let error = #expect(throws: DeviceError.self) {
            _ = try StubDriver.device(image: "this is nothing")
        }
        #expect(
            error?.message
                == "CUDA_ERROR_INVALID_PTX (218): a PTX JIT compilation failed, compiling GradDB's "
                + "kernels (ptxas fatal : this is no PTX: there is no .version, or no .target) on "
                + "Stub GPU (GPU 0)")
    }

    @Test func aKernelThatIsNotThereIsNamed() throws {
        let error = #expect(throws: DeviceError.self) {
            _ = try StubDriver.device(image: ".version 8.2\n.target sm_80\n.entry gd_copy(\n)")
        }
        #expect(error?.message.contains("CUDA_ERROR_NOT_FOUND (500)") == true)
        #expect(error?.message.contains("looking for the kernel 'gd_cosines'") == true)
    }

    @Test func kernelsWithoutTheirSharedMemoryAreLeftOut() throws {
        let device = try StubDriver.device(["SHARED": "49152"])
        for kernel in DeviceKernels.argumentBytes.keys {
            #expect(device.canLaunch(kernel) == (gd_shared_bytes(kernel) <= 49_152))
        }
        #expect(!device.canLaunch("gd_nothing"))
    }

    // ---- failures ----

    @Test func aLackOfMemoryIsToldInTheDriversWords() throws {
        let device = try StubDriver.device(["MEMORY": "1000000"])
        let error = #expect(throws: DeviceError.self) { try device.allocate(4_294_967_296) }
        #expect(
            error
                == DeviceError(
                    .outOfMemory,
                    "CUDA_ERROR_OUT_OF_MEMORY (2): out of memory, allocating 4,294,967,296 bytes on "
                        + "Stub GPU (GPU 0)"))
    }

    @Test(arguments: ["cuMemAlloc_v2", "cuMemHostAlloc"])
    func aFailedAllocationIsTheOnlyOne(function: String) throws {
        let device = try StubDriver.device(["FAIL": function + ":2"])
        try DeviceChecks.bytesComeBack(device)
        let error = #expect(throws: DeviceError.self) { try DeviceChecks.bytesComeBack(device) }
        #expect(error?.kind == .outOfMemory)
        try DeviceChecks.bytesComeBack(device)
    }

    /// The second call fails: the device is lost, with the same error from then on.
    @Test(arguments: [
        "cuLaunchKernel", "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemsetD8Async",
        "cuEventRecord", "cuStreamWaitEvent", "cuStreamSynchronize", "cuEventSynchronize:1:719",
    ])
    func aDeviceThatIsLostStaysLost(function: String) throws {
        let fault = function.contains(":") ? function : function + ":2"
        let device = try StubDriver.device(["FAIL": fault])
        let thrown = #expect(throws: DeviceError.self) {
            for _ in 0..<2 {
                try DeviceChecks.bytesComeBack(device)
                try DeviceChecks.eventsKeepQueuesInOrder(device)
                try DeviceChecks.eventsTellTime(device)
            }
        }
        let error = try #require(thrown)
        #expect(error.kind == .failed)
        let code = function == "cuLaunchKernel" || function.contains(":") ? "719" : "999"
        #expect(error.message.contains("(\(code)): "), "\(error)")
        #expect(error.message.contains("on Stub GPU (GPU 0)"), "\(error)")
        #expect(throws: error) { try device.allocate(1) }
        #expect(throws: error) { try device.memory() }
        #expect(throws: error) { try device.makeQueue() }
        #expect(throws: error) { try device.allocatePinned(1) }
    }

    /// Another handle of the GPU, made when the lost one has gone, works: its context is new.
    @Test func aLostDeviceCanBeOpenedAgain() throws {
        let library = try StubDriver.library(["FAIL": "cuLaunchKernel:1"])
        func use() throws {
            let device = try CUDABackend(ordinal: 0, library)
            try DeviceChecks.eventsKeepQueuesInOrder(device)
        }
        #expect(throws: DeviceError.self) { try use() }
        try use()
    }

    /// What is asked for while a device is set up: every call fails in its turn, and says what it was.
    @Test(arguments: [
        "cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName",
        "cuDeviceGetAttribute", "cuDeviceTotalMem_v2", "cuDeviceGetPCIBusId",
        "cuDevicePrimaryCtxRetain", "cuModuleLoadDataEx", "cuModuleGetFunction", "cuStreamCreate",
        "cuEventCreate", "cuMemGetInfo_v2",
    ])
    func everyFailureEndsInAMessage(function: String) throws {
        // The devices are listed once by StubDriver, and again for the backend.
        let isListed = function.hasPrefix("cuDevice") && function != "cuDevicePrimaryCtxRetain"
        let perDevice = function == "cuDeviceGetAttribute" ? 4 : 1
        let number = isListed ? perDevice + 1 : 1
        let error = #expect(throws: DeviceError.self) {
            let device = try StubDriver.device(["FAIL": "\(function):\(number):801"])
            _ = try device.memory()
            try DeviceChecks.eventsKeepQueuesInOrder(device)
        }
        #expect(
            error?.message.hasPrefix("CUDA_ERROR (801): unknown error, ") == true, "\(error as Any)"
        )
    }
}
