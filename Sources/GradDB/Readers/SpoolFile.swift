// Where a message of a stream goes that is too large for memory: a file without a name, which the
// system removes when its last descriptor is closed, however this process ends.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

enum SpoolFile {
    /// A new file in `directory`, open for reading and writing, already unlinked. The caller closes
    /// it.
    static func create(in directory: FilePath) throws(SystemFailure) -> FileDescriptor {
        let unique = "\(getpid())-\(UInt64.random(in: .min ... .max))"
        let path = directory.appending("graddb-spool-\(unique).tmp")
        let descriptor: FileDescriptor
        do {
            descriptor = try FileDescriptor.open(
                path, .readWrite, options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: [.ownerReadWrite])
        } catch {
            throw SystemFailure(error)
        }
        guard path.withPlatformString({ unlink($0) }) == 0 else {
            let failure = SystemFailure.last
            try? descriptor.close()
            throw failure
        }
        return descriptor
    }
}
