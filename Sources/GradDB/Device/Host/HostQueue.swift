// A queue of the host device: a thread, started by the first thing to do, that does one after the
// other. When the queue goes, what it was given is done first.

final class HostQueue: DeviceQueue {
    private struct State {
        var pending: [HostOperation] = []
        /// Something has been taken from `pending` and is being done.
        var isBusy = false
        var isEnding = false
        var thread: BackgroundTask?
    }

    private let backend: HostBackend
    private let state = Monitor(State())

    init(_ backend: HostBackend) { self.backend = backend }

    deinit {
        // In a child of the process there is no such thread.
        guard backend.process.isCurrent else { return }
        let thread = state.change { state in
            state.isEnding = true
            return state.thread
        }
        try? thread?.wait()
    }

    func copy(_ source: UnsafeRawBufferPointer, to target: DeviceAddress) throws {
        try backend.memoryOfHost.checkPinned(source)
        let target = try backend.memoryOfHost.pointer(target, bytes: source.count)
        guard let start = source.baseAddress else { return }
        try add(.copy(start, target, bytes: source.count), as: .copy)
    }

    func copy(_ source: DeviceAddress, to target: UnsafeMutableRawBufferPointer) throws {
        try backend.memoryOfHost.checkPinned(UnsafeRawBufferPointer(target))
        let source = try backend.memoryOfHost.pointer(source, bytes: target.count)
        guard let start = target.baseAddress else { return }
        try add(.copy(source, start, bytes: target.count), as: .copy)
    }

    func fill(_ target: DeviceAddress, bytes: Int, with byte: UInt8) throws {
        let target = try backend.memoryOfHost.pointer(target, bytes: bytes)
        try add(.fill(target, bytes: bytes, byte), as: .fill)
    }

    func launch(_ launch: DeviceLaunch) throws {
        try add(.launch(HostLaunch(launch)), as: .launch)
    }

    func record() throws -> any DeviceEvent {
        try backend.check()
        if let fault = backend.fault(at: .event) { throw backend.lose(fault.error) }
        let event = HostEvent(backend.process)
        try add(.record(event))
        return event
    }

    func wait(for event: any DeviceEvent) throws {
        guard let event = event as? HostEvent else {
            throw DeviceError(.failed, "an event of another kind of device")
        }
        try add(.wait(event))
    }

    func finish() throws {
        try backend.process.check()
        // Of a device that is lost too: whoever frees memory next relies on nothing using it.
        state.wait { state in state.pending.isEmpty && !state.isBusy ? () : nil }
        try backend.check()
    }

    /// Gives the queue something to do: `call` is failed on purpose where the device was told to.
    private func add(_ operation: HostOperation, as call: HostFault.Call? = nil) throws {
        try backend.check()
        let fault = call.flatMap { backend.fault(at: $0) }
        try state.change { state in
            if state.thread == nil {
                state.thread = BackgroundTask(besides: { [backend, state = self.state] in
                    Self.run(state, backend)
                })
                guard state.thread != nil else {
                    throw backend.lose(
                        DeviceError(.failed, "the system has no thread for a queue of the device"))
                }
            }
            state.pending.append(fault.map { .fail($0.error) } ?? operation)
        }
    }

    private static func run(_ state: Monitor<State>, _ backend: HostBackend) {
        while true {
            let operations = state.wait { state -> [HostOperation]? in
                if state.pending.isEmpty { return state.isEnding ? [] : nil }
                defer { state.pending.removeAll() }
                state.isBusy = true
                return state.pending
            }
            if operations.isEmpty { return }
            for operation in operations { perform(operation, backend) }
            state.change { $0.isBusy = false }
        }
    }

    private static func perform(_ operation: HostOperation, _ backend: HostBackend) {
        do {
            try backend.check()
            try operation.perform(threads: backend.processorCount)
        } catch {
            let error = error as? DeviceError ?? DeviceError(.failed, "\(error)")
            let first = backend.lose(error)
            if case .record(let event) = operation { event.fail(first) }
        }
    }
}
