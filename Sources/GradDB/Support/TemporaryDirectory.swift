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
    private static var parent: String {
        let named = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        return named.isEmpty ? "/tmp" : named
    }

    /// A path below TMPDIR, else /tmp, of which the system replaces the end.
    static var template: [CChar] { Array((parent + "/graddb-XXXXXX").utf8CString) }

    /// Makes a directory below TMPDIR, else /tmp, calls `body` with its path, and removes it with all
    /// that is in it.
    ///
    /// - Throws: `.io`; what `body` throws.
    package static func with<Result>(_ body: (_ path: String) throws -> Result) throws -> Result {
        var name = template
        guard mkdtemp(&name) != nil else {
            throw GradDBError(
                .io,
                "cannot make a temporary directory in \(parent): "
                    + String(cString: strerror(errno)) + "; name another place by TMPDIR")
        }
        let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }
}
