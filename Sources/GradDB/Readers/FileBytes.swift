// A file, read with pread and never mapped: where a file shrinks or its disk fails while we read,
// pread says so, and a mapping would kill the process. Whoever holds the object holds the file
// open; when the last reference goes, it is closed.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

final class FileBytes: ByteSource {
    let byteCount: Int
    private let descriptor: FileDescriptor

    /// Takes over `descriptor`, which must be open for reading on a regular file of `byteCount`
    /// bytes.
    init(owning descriptor: FileDescriptor, byteCount: Int) {
        self.descriptor = descriptor
        self.byteCount = byteCount
    }

    deinit {
        // Nothing was written, so there is nothing that a failing close could lose.
        try? descriptor.close()
    }

    /// Opens a regular file; anything else is refused, since its size says nothing.
    static func open(_ path: FilePath) throws(GradDBError) -> FileBytes {
        let name = path.string
        let descriptor: FileDescriptor
        do {
            // Without nonBlocking, opening a named pipe would wait for its writer.
            descriptor = try FileDescriptor.open(
                path, .readOnly, options: [.nonBlocking, .closeOnExec])
        } catch {
            throw SystemFailure(error).opening(name)
        }
        do throws(GradDBError) {
            let status = try FileStatus(of: descriptor, name: name)
            guard status.kind == .regular else { throw status.notAFile(name) }
            return FileBytes(owning: descriptor, byteCount: status.byteCount)
        } catch {
            try? descriptor.close()
            throw error
        }
    }

    func read(
        at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(ByteReadFailure) {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let count: Int
            do {
                count = try descriptor.read(
                    fromAbsoluteOffset: Int64(offset) + Int64(done), into: rest)
            } catch {
                throw .refused(SystemFailure(error), at: offset + done)
            }
            guard count > 0 else { throw .ended(at: offset + done) }
            done += count
        }
    }
}
