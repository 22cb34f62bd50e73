// Standard output and standard error. Output is buffered and checked: a full disk behind a
// redirection is an error, not silence.

import GradDB
import GradDBQuery
import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

enum Console {
    private static let buffer = Mutex<[UInt8]>([])
    private static let flushBytes = 1 << 16

    /// Writes a line to standard output, unless the user has interrupted.
    static func print(_ line: String) throws { try write(line + "\n") }

    /// Writes text to standard output, unless the user has interrupted.
    static func write(_ text: String) throws {
        try Interruption.cancellation.check()
        let isFull = buffer.withLock { buffer in
            buffer.append(contentsOf: text.utf8)
            return buffer.count >= flushBytes
        }
        if isFull { try flush() }
    }

    static func flush() throws {
        let bytes = buffer.withLock { buffer in
            defer { buffer.removeAll(keepingCapacity: true) }
            return buffer
        }
        try write(bytes, to: STDOUT_FILENO)
    }

    /// Writes data to standard output, unless the user has interrupted.
    static func writeOutput(_ bytes: UnsafeRawBufferPointer) throws {
        try Interruption.cancellation.check()
        try write(Array(bytes), to: STDOUT_FILENO)
    }

    /// Forgets what has not been written: a command that fails prints no half answer.
    static func discardOutput() { buffer.withLock { $0.removeAll() } }

    /// Writes a line to standard error; a failure there has nowhere to be reported.
    static func printError(_ line: String) {
        try? write(Array((line + "\n").utf8), to: STDERR_FILENO)
    }

    static func writeError(raw text: String) { try? write(Array(text.utf8), to: STDERR_FILENO) }

    /// `text` made safe to print: what data and files hold can send a terminal no commands. Line
    /// ends are kept where `keepingLines` says so.
    static func printable(_ text: String, keepingLines: Bool = false) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        return lines.map { SourceExcerpt.printable(String($0)) }
            .joined(separator: keepingLines ? "\n" : " ")
    }

    static func report(_ message: String, kind: String, exit code: Int32, _ asJSON: Bool) {
        guard asJSON else {
            printError("gradctl: \(printable(message, keepingLines: true))")
            return
        }
        printError(
            JSONObject([
                ("error", .string(message)), ("kind", .string(kind)), ("exit", .int(Int64(code))),
            ]).text)
    }

    private static func write(_ bytes: [UInt8], to descriptor: Int32) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                let reason = errno
                try Interruption.cancellation.check()
                if reason == EINTR { continue }
                throw GradDBError(
                    .io, "cannot write to standard output: \(String(cString: strerror(reason)))")
            }
            rest = rest.dropFirst(written)
        }
    }

    static var isOutputTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
    static var isErrorTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    /// Columns of the terminal that a descriptor is; nil when it is none.
    static func width(of descriptor: Int32) -> Int? {
        guard isatty(descriptor) == 1 else { return nil }
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }
}
