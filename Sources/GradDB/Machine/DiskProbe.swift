// How fast the disk reads: sequentially, past the page cache, sixteen requests at a time, one
// thread for each.

import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

/// What is read to measure a disk.
package enum DiskSource: Sendable {
    /// These files.
    case files([String])
    /// A temporary file in this directory.
    case directory(String)

    /// For a database: its block files, where they are large enough, so that nothing is written.
    package static func database(at path: String) -> DiskSource {
        let files = tableFiles(ofDatabase: path)
        let bytes = files.reduce(0) { sum, file in
            var status = stat()
            return stat(file, &status) == 0 ? sum + Int(status.st_size) : sum
        }
        return bytes >= DiskProbe.fileBytes ? .files(files) : .directory(path)
    }

    /// Paths of the table files of a database, in which its blocks lie.
    package static func tableFiles(ofDatabase path: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.filter { $0.hasSuffix(".sst") }.sorted().map { "\(path)/\($0)" }
    }
}

enum DiskProbe {
    static let fileBytes = 256 << 20
    private static let queue = 16
    private static let requestBytes = 1 << 20
    /// Direct reads want memory and offsets at multiples of the disk's block.
    private static let alignment = 4096
    // Two flags of `open` that Swift does not import.
    #if arch(arm64)
        private static let direct: Int32 = 0x1_0000
    #else
        private static let direct: Int32 = 0x4000
    #endif
    private static let nameless = O_DIRECTORY | 0x40_0000

    /// GB/s.
    ///
    /// - Parameter filler: what a temporary file is filled with.
    /// - Throws: `.io` where the disk cannot be read past the cache, or has no room; `.interrupted`.
    static func readRate(
        _ source: DiskSource, seconds: Double, filler: UnsafeRawBufferPointer,
        cancellation: Cancellation
    ) throws -> Double {
        let files = try open(source, filler, cancellation)
        let requests = files.flatMap { file in
            stride(from: 0, to: file.bytes, by: requestBytes).map { (file, $0) }
        }
        guard !requests.isEmpty else { throw GradDBError(.io, "there is nothing to read") }
        let buffers = (0..<queue).map { _ in Buffer() }
        let turns = Turns()
        return try Stopwatch.rate(threads: queue, seconds: seconds, cancellation: cancellation) {
            worker in
            let (file, offset) = requests[turns.next() % requests.count]
            return try Double(file.read(at: offset, into: buffers[worker])) / 1e9
        }
    }

    private static func open(
        _ source: DiskSource, _ filler: UnsafeRawBufferPointer, _ cancellation: Cancellation
    ) throws -> [DirectFile] {
        switch source {
        case .files(let paths): try paths.map { try DirectFile(reading: $0) }
        case .directory(let path):
            [
                try DirectFile(
                    filledIn: path,
                    UnsafeRawBufferPointer(rebasing: filler.prefix(fileBytes)), cancellation)
            ]
        }
    }

    private final class Turns: Sendable {
        private let count = Atomic<Int>(0)
        func next() -> Int { count.wrappingAdd(1, ordering: .relaxed).oldValue }
    }

    private final class Buffer: @unchecked Sendable {  // used by one thread at a time
        let bytes = UnsafeMutableRawBufferPointer.allocate(
            byteCount: requestBytes, alignment: alignment)
        deinit { bytes.deallocate() }
    }

    /// A file that is read past the page cache.
    private final class DirectFile: @unchecked Sendable {  // constant after init
        private let descriptor: Int32
        /// Whole blocks only.
        private(set) var bytes = 0

        init(reading path: String) throws {
            descriptor = Glibc.open(path, O_RDONLY | direct | O_CLOEXEC)
            guard descriptor >= 0 else { throw Self.failure("open \(path) for direct reads") }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else { throw Self.failure("look at \(path)") }
            bytes = Int(status.st_size) / alignment * alignment
        }

        /// A file without a name, which is gone when this process is.
        init(
            filledIn directory: String, _ filler: UnsafeRawBufferPointer,
            _ cancellation: Cancellation
        ) throws {
            var space = statvfs()
            guard statvfs(directory, &space) == 0,
                Int(space.f_bavail) * Int(space.f_frsize) > 4 * filler.count
            else {
                throw GradDBError(.io, "there is no room for a temporary file in \(directory)")
            }
            descriptor = Glibc.open(directory, O_RDWR | nameless | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw Self.failure("make a file in \(directory)") }
            while bytes < filler.count {
                try cancellation.check()
                let piece = UnsafeRawBufferPointer(
                    rebasing: filler[bytes..<min(filler.count, bytes + (16 << 20))])
                let written = pwrite(descriptor, piece.baseAddress, piece.count, off_t(bytes))
                guard written > 0 else { throw Self.failure("write in \(directory)") }
                bytes += written
            }
            guard fsync(descriptor) == 0, fcntl(descriptor, F_SETFL, direct) == 0 else {
                throw Self.failure("read past the page cache in \(directory)")
            }
            posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        }

        deinit { if descriptor >= 0 { close(descriptor) } }

        func read(at offset: Int, into buffer: Buffer) throws -> Int {
            let count = min(requestBytes, bytes - offset)
            let done = pread(descriptor, buffer.bytes.baseAddress, count, off_t(offset))
            guard done > 0 else { throw Self.failure("read past the page cache") }
            return done
        }

        private static func failure(_ action: String) -> GradDBError {
            GradDBError(.io, "cannot \(action): \(String(cString: strerror(errno)))")
        }
    }
}
