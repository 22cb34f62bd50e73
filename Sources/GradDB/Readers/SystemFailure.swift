// What the operating system says when it refuses, in words, and whether the input or the machine is
// to blame. Errors of the C library are read here and nowhere else in this folder.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// A failed system call.
struct SystemFailure: Error, Equatable {
    let code: Errno

    init(_ code: Errno) {
        self.code = code
    }

    /// From what swift-system throws, which is an `Errno` always.
    init(_ error: any Error) {
        code = error as? Errno ?? .ioError
    }

    /// The reason of the system call that has just failed.
    static var last: SystemFailure { SystemFailure(Errno(rawValue: errno)) }

    var text: String { code.description }

    /// This failure to open `path`: bad input where the path is to blame, else an I/O error.
    func opening(_ path: String) -> GradDBError {
        switch code {
        case .noSuchFileOrDirectory:
            .badInput("\(path): no such file; check the path")
        case .permissionDenied, .notPermitted:
            .badInput("\(path): may not be read (\(text)); change its permissions")
        case .isDirectory, .notDirectory, .tooManySymbolicLinkLevels, .fileNameTooLong:
            .badInput("\(path): cannot be opened (\(text)); check the path")
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem:
            GradDBError(.io, "\(path): cannot be opened (\(text)); raise the limit (ulimit -n)")
        default:
            GradDBError(.io, "\(path): cannot be opened: \(text)")
        }
    }
}
