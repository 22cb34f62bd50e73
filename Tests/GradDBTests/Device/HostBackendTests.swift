// The host in the part of a device: memory, queues, events, and every way in which it can be told to
// fail.

import CGradKernels
import GradDB
import Testing

@Suite struct HostBackendTests {
    private func device(_ faults: HostFault...) -> HostBackend {
        HostBackend(memoryBytes: 1 << 20, threads: 3, isPoisoned: true, faults: faults)
    }

    @Test func doesWhatADeviceDoes() throws {
        try DeviceChecks.memoryIsCounted(device())
        try DeviceChecks.tooMuchIsRefused(device())
        try DeviceChecks.bytesComeBack(device())
        try DeviceChecks.eventsKeepQueuesInOrder(device())
        try DeviceChecks.scoresAreThoseOfTheDefinition(device())
        try DeviceChecks.mistakesAreRefused(device())
        try DeviceChecks.copiesAstrayAreRefused(device())
        try DeviceChecks.eventsTellTime(HostBackend(memoryBytes: 1 << 20))
    }

    @Test func allOfTheMemoryCanBeUsedAndNoMore() throws {
        let device = device()
        let pieces = try (0..<4096).map { _ in try device.allocate(200) }
        #expect(try device.memory().free == 0)
        #expect(throws: DeviceError.self) { try device.allocate(1) }
        device.free(pieces[7])
        device.free(try device.allocate(256))
        for (number, piece) in pieces.enumerated() where number != 7 { device.free(piece) }
        #expect(try device.memory().free == 1 << 20)
    }

    @Test func newMemoryHoldsPoison() throws {
        let device = device()
        let memory = try device.allocate(300)
        let pinned = try device.allocatePinned(300)
        #expect(pinned.allSatisfy { $0 == 0xFF })
        pinned.initializeMemory(as: UInt8.self, repeating: 0)
        let queue = try device.makeQueue()
        try queue.copy(memory, to: pinned)
        try queue.finish()
        #expect(pinned.allSatisfy { $0 == 0xFF })
        device.free(memory)
        device.freePinned(pinned)
    }

    @Test func aQueueThatGoesHasDoneEverything() throws {
        let device = device()
        let memory = try device.allocate(1 << 19)
        let pinned = try device.allocatePinned(1 << 19)
        var queue: (any DeviceQueue)? = try device.makeQueue()
        for byte in 0..<100 { try queue?.fill(memory, bytes: 1 << 19, with: UInt8(byte)) }
        try queue?.copy(memory, to: pinned)
        queue = nil
        #expect(pinned.allSatisfy { $0 == 99 })
        device.free(memory)
        device.freePinned(pinned)
    }

    @Test(arguments: [HostFault.Call.allocation, .pinned])
    func aFailedAllocationIsTheOnlyOne(call: HostFault.Call) throws {
        let device = device(HostFault(call, 2))
        func allocate() throws {
            if call == .pinned {
                device.freePinned(try device.allocatePinned(10))
            } else {
                device.free(try device.allocate(10))
            }
        }
        try allocate()
        let error = #expect(throws: DeviceError.self) { try allocate() }
        #expect(error?.kind == .outOfMemory)
        #expect(error?.message.contains("\(call.rawValue) 2") == true)
        try allocate()
    }

    /// The third of each call fails; whatever comes after it fails with the same error.
    @Test(arguments: [HostFault.Call.copy, .fill, .launch, .event])
    func aDeviceThatIsLostStaysLost(call: HostFault.Call) throws {
        let device = device(HostFault(call, 3))
        let memory = try device.allocate(256)
        let pinned = try device.allocatePinned(256)
        let (queue, other) = (try device.makeQueue(), try device.makeQueue())
        var args = gd_stream_args(source: memory.value, target: memory.value, bytes: 0)
        let thrown = #expect(throws: DeviceError.self) {
            for _ in 0..<3 {
                try queue.copy(memory, to: pinned)
                try queue.fill(memory, bytes: 256, with: 1)
                try queue.launch(DeviceLaunch("gd_copy", x: 1, &args))
                let event = try queue.record()
                try other.wait(for: event)
                try event.wait()
            }
        }
        let error = try #require(thrown)
        #expect(error.kind == .failed)
        #expect(error.message == "the host device was told to fail at \(call.rawValue) 3")
        for queue in [queue, other] {
            #expect(throws: error) { try queue.finish() }
            #expect(throws: error) { try queue.record() }
            #expect(throws: error) { try queue.copy(memory, to: pinned) }
        }
        #expect(throws: error) { try device.allocate(1) }
        #expect(throws: error) { try device.makeQueue() }
        #expect(throws: error) { try device.memory() }
        device.free(memory)
        device.freePinned(pinned)
    }

    @Test func anEventOfALostDeviceEndsThoseWhoWait() throws {
        let device = device(HostFault(.launch, 1))
        let memory = try device.allocate(256)
        let queue = try device.makeQueue()
        var args = gd_stream_args(source: memory.value, target: memory.value, bytes: 0)
        let before = try queue.record()
        try? queue.launch(DeviceLaunch("gd_copy", x: 1, &args))
        let after = try? queue.record()
        #expect(throws: DeviceError.self) {
            try queue.finish()
        }
        try before.wait()
        if let after { #expect(throws: DeviceError.self) { try after.wait() } }
    }

    @Test func aChildOfTheProcessIsRefused() throws {
        try DeviceChecks.childrenAreRefused(device())
    }

    @Test func argumentsThatAreNoneFail() throws {
        let device = device()
        let queue = try device.makeQueue()
        var args = gd_score_args()
        args.layer.codec = GD_INT4.rawValue
        try queue.launch(DeviceLaunch("gd_score_int8_1", x: 1, &args))
        let error = #expect(throws: DeviceError.self) { try queue.finish() }
        #expect(error?.message.contains("gd_score_int8_1") == true)
    }

    @Test func faultsAreWrittenAsTheyAreRead() {
        #expect(HostFault("launch:3") == HostFault(.launch, 3))
        for text in ["", "launch", "launch:", "launch:0", "launch:x", "start:1", "launch:1:2"] {
            #expect(HostFault(text) == nil)
        }
    }
}
