// What stat says of a path or a descriptor, as far as readers care.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

struct FileStatus {
    enum Kind {
        case regular, directory, other
    }

    let kind: Kind
    let byteCount: Int
    /// Whether it is a named pipe.
    let isPipe: Bool

    init(of descriptor: FileDescriptor, name: String) throws(GradDBError) {
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else {
            throw SystemFailure.last.opening(name)
        }
        self.init(status)
    }

    /// Follows symbolic links.
    init(at path: FilePath) throws(GradDBError) {
        var status = stat()
        guard path.withPlatformString({ stat($0, &status) }) == 0 else {
            throw SystemFailure.last.opening(path.string)
        }
        self.init(status)
    }

    private init(_ status: stat) {
        byteCount = Int(status.st_size)
        isPipe = status.st_mode & S_IFMT == S_IFIFO
        kind =
            switch status.st_mode & S_IFMT {
            case S_IFREG: .regular
            case S_IFDIR: .directory
            default: .other
            }
    }

    func notAFile(_ name: String) -> GradDBError {
        switch kind {
        case .directory:
            .badInput("\(name): is a directory where a file is needed; name a file in it")
        default:
            .badInput(
                "\(name): is not a regular file; write the data to a file first, or send it to "
                    + "standard input as safetensors messages")
        }
    }
}
