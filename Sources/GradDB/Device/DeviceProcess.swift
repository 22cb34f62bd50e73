// The process in which a device was made. Threads and a driver's contexts stay behind when it forks: a
// child that waited for them would wait for ever.

#if canImport(Glibc)
    import Glibc
#endif

struct DeviceProcess: Sendable {
    private let id = getpid()

    var isCurrent: Bool { getpid() == id }

    /// - Throws: `.failed` in a child of the process that made the device.
    func check() throws(DeviceError) {
        guard isCurrent else {
            throw DeviceError(
                .failed,
                "this process was forked from one that used the device, which has stayed with its "
                    + "parent; use it in processes that are started anew (in Python: "
                    + "multiprocessing.get_context(\"spawn\"))")
        }
    }
}
