// Memory for more than should stay in memory: beyond a limit it is a file without a name, which the
// system writes out as it needs to, and removes however this process ends.

#if canImport(Glibc)
    import Glibc
#endif

/// Zeroed 64-bit words, shared by threads that each use their own.
package final class LargeMemory: @unchecked Sendable {  // the pointer is constant
    package let words: UnsafeMutableBufferPointer<UInt64>
    private let byteCount: Int

    /// Up to this much is ordinary memory.
    package static let memoryBytes = 1 << 30

    /// - Throws: `.io` where there is no room.
    package init(words count: Int, memoryBytes: Int = LargeMemory.memoryBytes) throws {
        byteCount = max(1, count) * 8
        let isFile = byteCount > memoryBytes
        let file = isFile ? try Self.makeFile(byteCount) : -1
        defer { if file >= 0 { close(file) } }
        let start = mmap(
            nil, byteCount, PROT_READ | PROT_WRITE,
            isFile ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, file, 0)
        guard let start, start != MAP_FAILED else {
            throw GradDBError(
                .io,
                "there is no memory for \(byteCount >> 20) MiB: \(String(cString: strerror(errno)))"
            )
        }
        words = UnsafeMutableBufferPointer(
            start: start.bindMemory(to: UInt64.self, capacity: count), count: count)
    }

    deinit { munmap(words.baseAddress, byteCount) }

    private static func makeFile(_ byteCount: Int) throws -> Int32 {
        var path = TemporaryDirectory.template
        let file = mkstemp(&path)
        let name = String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard file >= 0 else { throw DurableFiles.failure("make a temporary file like", name) }
        unlink(path)
        _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        // All of it now: a disk that is full later would end the process.
        let code = posix_fallocate(file, 0, byteCount)
        guard code == 0 else {
            close(file)
            errno = code
            throw DurableFiles.failure("reserve \(byteCount >> 20) MiB in", name)
        }
        return file
    }
}
