// A directory for what is needed for a while.

#if canImport(Glibc)
    import Glibc
#endif
#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package enum TemporaryDirectory {
    /// Makes a directory below TMPDIR, else /tmp, calls `body` with its path, and removes it with all
    /// that is in it.
    ///
    /// - Throws: `.io`; what `body` throws.
    package static func with<Result>(_ body: (_ path: String) throws -> Result) throws -> Result {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        var name = Array(((parent.isEmpty ? "/tmp" : parent) + "/graddb-XXXXXX").utf8CString)
        guard mkdtemp(&name) != nil else {
            throw GradDBError(
                .io,
                "cannot make a temporary directory in \(parent.isEmpty ? "/tmp" : parent): "
                    + String(cString: strerror(errno)) + "; name another place by TMPDIR")
        }
        let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }
}
