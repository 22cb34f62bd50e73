// What was typed in earlier shells: a file of one line for each, which only its owner may read.

import GradDB

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

struct ShellHistory {
    private let path: String?
    private(set) var lines: [String] = []

    /// Older entries are forgotten.
    static let maximumEntries = 1_000
    /// More than this is no history of ours.
    private static let maximumBytes = 16 << 20

    /// `$GRADDB_HISTORY`, else `.graddb_history` in the home directory; none where the variable is
    /// empty. What cannot be read counts as empty.
    static func stored() -> ShellHistory {
        let environment = ProcessInfo.processInfo.environment
        let home = environment["HOME"].map { $0 + "/.graddb_history" }
        return ShellHistory(path: environment["GRADDB_HISTORY"] ?? home)
    }

    private init(path: String?) {
        self.path = path.flatMap { $0.isEmpty ? nil : $0 }
        guard let path = self.path, let file = fopen(path, "r") else { return }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: Self.maximumBytes)
        let count = fread(&bytes, 1, bytes.count, file)
        lines = String(decoding: bytes[..<count], as: UTF8.self)
            .split(separator: "\n").map(String.init)
        cut()
    }

    private mutating func cut() { lines.removeFirst(max(0, lines.count - Self.maximumEntries)) }

    /// Remembers an entry, in one line however it was typed, and writes the file.
    ///
    /// - Returns: the line, or nil for what is not remembered: nothing, and the same once more.
    mutating func remember(_ text: String) -> String? {
        let line = String(
            text.split(whereSeparator: \.isNewline).joined(separator: " ").drop { $0 == " " })
        guard !line.isEmpty, lines.last != line else { return nil }
        lines.append(line)
        cut()
        write()
        return line
    }

    /// Under another name first, so that two shells never leave half a file. A history that cannot
    /// be written is no reason to disturb anyone.
    private func write() {
        guard let path else { return }
        let aside = "\(path).\(getpid())"
        let descriptor = Glibc.open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        var bytes = Array((lines.joined(separator: "\n") + "\n").utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress, $0.count)
            }
            guard written > 0 else { break }
            bytes = bytes.dropFirst(written)
        }
        close(descriptor)
        if !bytes.isEmpty || rename(aside, path) != 0 { unlink(aside) }
    }
}
