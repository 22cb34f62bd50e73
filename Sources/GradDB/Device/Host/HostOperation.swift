// What a host queue does, one after the other.

import CGradKernels

#if canImport(Glibc)
    import Glibc
#endif

/// The memory that it points to stays where it is until it has been done: callers of a queue promise it.
enum HostOperation: @unchecked Sendable {
    case copy(UnsafeRawPointer, UnsafeMutableRawPointer, bytes: Int)
    case fill(UnsafeMutableRawPointer, bytes: Int, UInt8)
    case launch(HostLaunch)
    case record(HostEvent)
    case wait(HostEvent)
    case fail(DeviceError)

    func perform(threads: Int) throws {
        switch self {
        case .copy(let source, let target, let bytes): memcpy(target, source, bytes)
        case .fill(let target, let bytes, let byte): memset(target, Int32(byte), bytes)
        case .launch(let launch): try launch.perform(threads: threads)
        case .record(let event): event.come()
        case .wait(let event): try event.wait()
        case .fail(let error): throw error
        }
    }
}

/// A launch with its own copy of the arguments.
struct HostLaunch: Sendable {
    private let kernel: String
    private let gridX: Int
    private let gridY: Int
    private let arguments: [UInt8]

    /// - Throws: `.failed` where there is no such kernel, or its grid is none.
    init(_ launch: DeviceLaunch) throws {
        let bytes = try DeviceKernels.check(launch)
        kernel = launch.kernel
        gridX = launch.gridX
        gridY = launch.gridY
        arguments = Array(UnsafeRawBufferPointer(start: launch.arguments, count: bytes))
    }

    /// Tiles below which a further thread is not worth starting.
    private static let leastTiles = 8

    func perform(threads: Int) throws {
        let isScore = kernel.hasPrefix("gd_score_") || kernel.hasPrefix("gd_estimate_")
        guard isScore, threads > 1, gridX >= 2 * Self.leastTiles else {
            return try arguments.withUnsafeBytes { try perform(gridX, $0) }
        }
        // The tiles of a score are independent of each other. Estimates' arguments begin with a score's.
        let parts = min(threads, gridX / Self.leastTiles)
        let whole = arguments.withUnsafeBytes { $0.loadUnaligned(as: gd_score_args.self) }
        try Parallel.forEach(parts, threads: parts) { part, _ in
            let begin = part * gridX / parts
            let end = (part + 1) * gridX / parts
            var args = whole
            args.tiles += UInt64(begin * MemoryLayout<gd_tile>.stride)
            args.tile_count = UInt32(max(0, min(end, Int(whole.tile_count)) - begin))
            var own = arguments
            try own.withUnsafeMutableBytes {
                $0.storeBytes(of: args, as: gd_score_args.self)
                try perform(end - begin, UnsafeRawBufferPointer($0))
            }
        }
    }

    private func perform(_ gridX: Int, _ arguments: UnsafeRawBufferPointer) throws {
        switch gd_twin_launch(kernel, UInt32(gridX), UInt32(gridY), arguments.baseAddress) {
        case 0: break
        case GD_TWIN_NO_MEMORY:
            throw DeviceError(.failed, "the kernel '\(kernel)' has no memory to work in")
        case GD_TWIN_MISUSED:
            throw DeviceError(.failed, "the arguments of the kernel '\(kernel)' are none")
        default: throw DeviceError(.failed, "there is no kernel '\(kernel)'")
        }
    }
}
