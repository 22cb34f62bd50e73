// A moment in a host queue: pending, come, or never to come because its queue has failed.

final class HostEvent: DeviceEvent {
    private enum State {
        case pending
        case come(ContinuousClock.Instant)
        case failed(DeviceError)
    }

    private let state = Monitor(State.pending)
    private let process: DeviceProcess

    init(_ process: DeviceProcess) { self.process = process }

    func come() { state.change { $0 = .come(.now) } }

    func fail(_ error: DeviceError) { state.change { $0 = .failed(error) } }

    func wait() throws { _ = try moment() }

    private func moment() throws -> ContinuousClock.Instant {
        try process.check()
        return try state.wait { state in
            switch state {
            case .pending: nil
            case .come(let instant): instant
            case .failed(let error): throw error
            }
        }
    }

    func seconds(since earlier: any DeviceEvent) throws -> Double {
        guard let earlier = earlier as? HostEvent else {
            throw DeviceError(.failed, "an event of another kind of device")
        }
        return try (moment() - earlier.moment()) / .seconds(1)
    }
}
