// The lines of a text file through one buffer, which grows to hold the longest line met so far and
// never much beyond the longest that is allowed.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Reads lines from front to back; the file is closed when the object goes away. It takes pipes as
/// well as files. Not for use from several threads at once.
final class LineReader {
    /// A longer line is not metadata; it is a file without line ends.
    static let longestLineBytes = 16 << 20
    private static let readBytes = 256 << 10

    let name: String
    /// The number of the line returned last, counted from 1.
    private(set) var lineNumber = 0

    private let descriptor: FileDescriptor
    private var buffer = [UInt8](repeating: 0, count: LineReader.readBytes)
    /// What was read and not yet returned, in `buffer`.
    private var unread = 0..<0
    /// Where in `buffer` to go on looking for the end of the line.
    private var searched = 0
    /// Offset in the file of `unread`.
    private var unreadOffset = 0
    private var isAtEnd = false

    init(_ path: String) throws(GradDBError) {
        let opened: FileDescriptor
        do {
            opened = try FileDescriptor.open(FilePath(path), .readOnly, options: [.closeOnExec])
        } catch {
            throw SystemFailure(error).opening(path)
        }
        do throws(GradDBError) {
            let status = try FileStatus(of: opened, name: path)
            if status.kind == .directory { throw status.notAFile(path) }
        } catch {
            try? opened.close()
            throw error
        }
        name = path
        // Last, since from here on a failure would run deinit.
        descriptor = opened
    }

    deinit {
        try? descriptor.close()
    }

    /// Calls `body` with the next line, without its line end, and returns what that returns; nil
    /// after the last line. A last line without a line end counts, an empty one does not.
    func withNextLine<Result>(
        _ body: (Span<UInt8>) throws(GradDBError) -> Result
    ) throws(GradDBError) -> Result? {
        guard let line = try nextLine() else { return nil }
        return try buffer.withUnsafeBufferPointer { bytes throws(GradDBError) in
            try body(bytes.span.extracting(line))
        }
    }

    private func nextLine() throws(GradDBError) -> Range<Int>? {
        while true {
            let end = lineEnd()
            guard (end ?? unread.upperBound) - unread.lowerBound <= Self.longestLineBytes else {
                throw .badInput(
                    "\(name), line \(lineNumber + 1): the line is longer than "
                        + "\(Self.longestLineBytes) bytes; metadata is one JSON object on each "
                        + "line")
            }
            if let end { return takeLine(unread.lowerBound..<end, next: end + 1) }
            searched = unread.upperBound
            guard !isAtEnd else {
                return unread.isEmpty ? nil : takeLine(unread, next: unread.upperBound)
            }
            try readMore()
        }
    }

    private func lineEnd() -> Int? {
        buffer.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress,
                let found = memchr(
                    base + searched, CInt(UInt8(ascii: "\n")), unread.upperBound - searched)
            else { return nil }
            return UnsafeRawPointer(found) - base
        }
    }

    private func takeLine(_ line: Range<Int>, next: Int) -> Range<Int> {
        lineNumber += 1
        unreadOffset += next - line.lowerBound
        unread = next..<unread.upperBound
        searched = next
        return line
    }

    private func readMore() throws(GradDBError) {
        makeRoom()
        var failure: SystemFailure?
        let count = buffer.withUnsafeMutableBytes { bytes in
            do throws(SystemFailure) {
                return try descriptor.readSome(into: .init(rebasing: bytes[unread.upperBound...]))
            } catch {
                failure = error
                return 0
            }
        }
        if let failure {
            throw GradDBError(
                .io, "\(name): cannot read at byte \(unreadOffset + unread.count): \(failure.text)")
        }
        isAtEnd = count == 0
        unread = unread.lowerBound..<unread.upperBound + count
    }

    /// Moves what is unread to the front, and grows the buffer where that alone leaves little room.
    private func makeRoom() {
        if unread.lowerBound > 0 {
            let count = unread.count
            buffer.withUnsafeMutableBytes { bytes in
                guard let base = bytes.baseAddress else { return }
                base.copyMemory(from: base + unread.lowerBound, byteCount: count)
            }
            searched -= unread.lowerBound
            unread = 0..<count
        }
        if buffer.count - unread.count < Self.readBytes / 2 {
            buffer += [UInt8](repeating: 0, count: buffer.count)
        }
    }
}
