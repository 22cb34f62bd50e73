/// What a host device is told to do wrong: the tests' way to a device that fails.
package struct HostFault: Sendable, Equatable {
    package enum Call: String, Sendable, CaseIterable {
        /// Of device memory: refused, and only that one.
        case allocation
        /// Of pinned memory: refused, and only that one.
        case pinned
        case queue
        /// Fails in its queue, after the call has returned. The device is lost.
        case copy
        /// Fails in its queue, after the call has returned. The device is lost.
        case fill
        /// Fails in its queue, after the call has returned. The device is lost.
        case launch
        /// Recording it fails at once. The device is lost.
        case event
    }

    package var call: Call
    /// Which of these calls, counted from 1 over all queues of the device.
    package var number: Int

    package init(_ call: Call, _ number: Int) {
        self.call = call
        self.number = number
    }

    /// Written as "launch:3".
    package init?(_ text: String) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let call = Call(rawValue: String(parts[0])),
            let number = Int(parts[1]), number > 0
        else { return nil }
        self.init(call, number)
    }

    var error: DeviceError {
        let kind: DeviceError.Kind = call == .allocation || call == .pinned ? .outOfMemory : .failed
        return DeviceError(kind, "the host device was told to fail at \(call.rawValue) \(number)")
    }
}
