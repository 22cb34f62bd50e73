// Where the shell's lines come from: a terminal with line editing, or anything else.

import GradDB

#if canImport(Glibc)
    import Glibc
#endif

/// What came of waiting for a line.
enum InputLine {
    /// Without its line end.
    case text(String)
    /// Ctrl-C: what was typed is forgotten.
    case interrupted
    case end
}

protocol LineSource: AnyObject {
    /// - Throws: `.io`, and `.badInput` for what is not UTF-8.
    func next(prompt: String) throws -> InputLine
}

enum Input {
    /// Waits until there is something to read, or the end of it; false when Ctrl-C came first.
    ///
    /// A signal may come just before the wait, so that this looks up now and then.
    static func isReady(_ descriptor: Int32) -> Bool {
        while !Interruption.cancellation.isCancelled {
            var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            if poll(&input, 1, 200) > 0 { return true }
        }
        return false
    }
}

/// Lines of a descriptor. A prompt is shown where it is a terminal.
final class PlainLines: LineSource {
    private let descriptor: Int32
    private let name: String
    private let showsPrompt: Bool
    private var buffer: [UInt8] = []
    private var isAtEnd = false

    /// A line may hold a statement, and no more than a script.
    private static let maxLineBytes = 64 << 20

    init(_ descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
        showsPrompt = isatty(descriptor) == 1
    }

    func next(prompt: String) throws -> InputLine {
        if showsPrompt { Console.writeError(raw: prompt) }
        var searched = 0
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = buffer[..<end]
                defer { buffer.removeFirst(end + 1) }
                return .text(try text(line))
            }
            searched = buffer.count
            if isAtEnd {
                guard !buffer.isEmpty else { return .end }
                defer { buffer = [] }
                return .text(try text(buffer[...]))
            }
            if try !fill() {
                buffer = []
                return .interrupted
            }
            guard buffer.count <= Self.maxLineBytes else {
                throw GradDBError(.badInput, "\(name) has a line of more than 64 MiB")
            }
        }
    }

    private func text(_ line: ArraySlice<UInt8>) throws -> String {
        let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        guard let text = String(validating: line, as: UTF8.self) else {
            throw GradDBError(.badInput, "\(name) is not UTF-8 text")
        }
        return text
    }

    /// Reads what there is; false when a signal came first.
    private func fill() throws -> Bool {
        guard Input.isReady(descriptor) else { return false }
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        let count = piece.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        if count < 0 {
            if errno == EINTR { return false }
            throw GradDBError(
                .badInput, "cannot read \(name): \(String(cString: strerror(errno)))")
        }
        isAtEnd = count == 0
        buffer += piece[..<count]
        return true
    }
}
