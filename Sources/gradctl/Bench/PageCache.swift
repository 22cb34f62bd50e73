// What the kernel keeps of files in memory.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

enum PageCache {
    /// Asks the kernel to let go of what it has read of these files. It does, without any special
    /// rights, unless a page is dirty or some process has it mapped.
    static func drop(_ files: [String]) {
        for file in files {
            let descriptor = open(file, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            fdatasync(descriptor)
            posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
            close(descriptor)
        }
    }

    /// Bytes that could be had for caching; nil where the system does not say.
    static var availableBytes: Int? {
        let text = FileManager.default.contents(atPath: "/proc/meminfo") ?? Data()
        let line = String(decoding: text, as: UTF8.self).split(separator: "\n")
            .first { $0.hasPrefix("MemAvailable:") }
        return line.flatMap { Int($0.filter(\.isNumber)) }.map { $0 * 1024 }
    }
}
