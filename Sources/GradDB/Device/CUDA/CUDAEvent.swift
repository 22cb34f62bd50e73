// An event of the driver's.

final class CUDAEvent: DeviceEvent {
    private let context: CUDAContext
    let handle: CUDAHandle

    init(_ context: CUDAContext) throws {
        self.context = context
        var event: OpaquePointer?
        try context.call("making an event") { $0.createEvent(&event, CUDANumber.eventSleeps) }
        handle = CUDAHandle(event)
    }

    deinit { context.release { $0.destroyEvent(handle.pointer) } }

    func wait() throws {
        try context.call(isOrdered: true, "running what a stream was given") {
            $0.finishEvent(handle.pointer)
        }
    }

    func seconds(since earlier: any DeviceEvent) throws -> Double {
        guard let earlier = earlier as? CUDAEvent else {
            throw DeviceError(.failed, "an event of another kind of device")
        }
        try earlier.wait()
        try wait()
        var milliseconds: Float = 0
        try context.call("measuring the time between events") {
            $0.elapsed(&milliseconds, earlier.handle.pointer, handle.pointer)
        }
        return Double(milliseconds) / 1000
    }
}
