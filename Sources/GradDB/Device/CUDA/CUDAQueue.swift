// A stream of the driver's.

import CGradKernels

final class CUDAQueue: DeviceQueue {
    private let context: CUDAContext
    private let module: CUDAModule
    private let stream: CUDAHandle

    init(_ context: CUDAContext, _ module: CUDAModule) throws {
        self.context = context
        self.module = module
        var stream: OpaquePointer?
        try context.call("making a stream") {
            $0.createStream(&stream, CUDANumber.streamApartFromOthers)
        }
        self.stream = CUDAHandle(stream)
    }

    deinit {
        context.release { functions in
            _ = functions.finishStream(stream.pointer)
            return functions.destroyStream(stream.pointer)
        }
    }

    func copy(_ source: UnsafeRawBufferPointer, to target: DeviceAddress) throws {
        guard !source.isEmpty else { return try context.check() }
        try context.call(isOrdered: true, "copying \(source.count.grouped) bytes to the device") {
            $0.copyToDevice(target.value, source.baseAddress, source.count, stream.pointer)
        }
    }

    func copy(_ source: DeviceAddress, to target: UnsafeMutableRawBufferPointer) throws {
        guard !target.isEmpty else { return try context.check() }
        try context.call(isOrdered: true, "copying \(target.count.grouped) bytes from the device") {
            $0.copyToHost(target.baseAddress, source.value, target.count, stream.pointer)
        }
    }

    func fill(_ target: DeviceAddress, bytes: Int, with byte: UInt8) throws {
        guard bytes != 0 else { return try context.check() }
        try context.call(isOrdered: true, "filling \(bytes.grouped) bytes") {
            $0.fill(target.value, byte, bytes, stream.pointer)
        }
    }

    func launch(_ launch: DeviceLaunch) throws {
        _ = try DeviceKernels.check(launch)
        let kernel = try module.function(launch.kernel)
        // The driver reads the argument before it returns.
        var arguments: UnsafeMutableRawPointer? = UnsafeMutableRawPointer(
            mutating: launch.arguments)
        try context.call(isOrdered: true, "launching '\(launch.kernel)'") {
            $0.launch(
                kernel.handle.pointer, UInt32(launch.gridX), UInt32(launch.gridY), 1,
                UInt32(GD_THREADS), 1, 1, kernel.sharedBytes, stream.pointer, &arguments, nil)
        }
    }

    func record() throws -> any DeviceEvent {
        let event = try CUDAEvent(context)
        try context.call(isOrdered: true, "recording an event") {
            $0.recordEvent(event.handle.pointer, stream.pointer)
        }
        return event
    }

    func wait(for event: any DeviceEvent) throws {
        guard let event = event as? CUDAEvent else {
            throw DeviceError(.failed, "an event of another kind of device")
        }
        try context.call(isOrdered: true, "waiting for an event") {
            $0.waitForEvent(stream.pointer, event.handle.pointer, 0)
        }
    }

    func finish() throws {
        // Of a device that is lost too: whoever frees memory next relies on nothing using it.
        if (try? context.check()) == nil { context.release { $0.finishStream(stream.pointer) } }
        try context.call(isOrdered: true, "running what a stream was given") {
            $0.finishStream(stream.pointer)
        }
    }
}
