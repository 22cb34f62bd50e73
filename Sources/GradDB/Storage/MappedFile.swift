// A file as memory. The mapping alone holds it: there is no open descriptor, of which a process
// may have few, and a file that is removed meanwhile stays readable.

#if canImport(Glibc)
    import Glibc
#endif

final class MappedFile: @unchecked Sendable {  // constant memory
    let bytes: UnsafeRawBufferPointer

    /// - Parameter expected: the bytes that the file must have: to touch memory beyond the end of a
    ///   file would end the process.
    /// - Throws: `.corrupt` when it is not there or not of that size, `.io`.
    init(path: String, bytes expected: Int) throws {
        var file: Int32 = -1
        repeat { file = open(path, O_RDONLY | O_CLOEXEC) } while file < 0 && errno == EINTR
        guard file >= 0 else {
            let reason = String(cString: strerror(errno))
            throw GradDBError(
                errno == ENOENT ? .corrupt : .io,
                "cannot open \(path): \(reason)"
                    + (errno == ENOENT ? "; a file of the database is missing" : ""))
        }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw GradDBError(.corrupt, "\(path) is no regular file")
        }
        guard Int(status.st_size) == expected, expected > 0 else {
            throw GradDBError.corrupt(
                "\(path) has \(status.st_size) bytes, and should have \(expected)")
        }
        guard let start = mmap(nil, expected, PROT_READ, MAP_SHARED, file, 0), start != MAP_FAILED
        else {
            throw GradDBError(
                .io,
                "cannot map \(path) into memory: \(String(cString: strerror(errno)))"
                    + (errno == ENOMEM ? "; the system's vm.max_map_count may be too low" : ""))
        }
        bytes = UnsafeRawBufferPointer(start: start, count: expected)
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }
}
