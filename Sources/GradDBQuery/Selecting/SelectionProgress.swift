// How far a selection has come, in a file beside what it will write: replaced as a whole, so that it
// is always one state, and believed only if it is of the same question.
//
//   {"selection": 1, "question": "…", "numbers": n}     one line of JSON
//   numbers                                             n times 8 bytes, little-endian
//   checksum                                            XXH3 of all before it, 8 bytes

import GradDB

#if canImport(Glibc)
    import Glibc
#endif

package struct SelectionProgress: Sendable {
    private let path: String
    private let output: String
    /// What is asked, of which database: any difference makes it another selection.
    private let question: String
    private let kernels: KernelSet
    private var lastWritten: ContinuousClock.Instant?
    private var pause = Duration.seconds(Self.seconds)

    /// At least so long between two states.
    private static let seconds = 3

    package init(output: String, question: String) throws {
        self.output = output
        self.question = question
        path = output + ".progress"
        kernels = try KernelSet.chosen()
    }

    /// The state that an earlier command has left; nil where there is none.
    ///
    /// - Throws: `.usage` where it is of another selection, `.badInput` where it is damaged.
    package func read() throws -> [UInt64]? {
        guard let bytes = try DurableFiles.read(path) else { return nil }
        guard let end = bytes.firstIndex(of: UInt8(ascii: "\n")) else { throw damaged() }
        let body = end + 1
        guard bytes.count >= body + 8, (bytes.count - body) % 8 == 0 else { throw damaged() }
        let numbers = bytes.withUnsafeBytes { bytes in
            stride(from: body, to: bytes.count, by: 8).map {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: UInt64.self))
            }
        }
        let checksum = bytes.withUnsafeBytes {
            kernels.hash(UnsafeRawBufferPointer(rebasing: $0[..<($0.count - 8)]))
        }
        guard numbers.last == checksum else { throw damaged() }
        guard bytes[..<end].elementsEqual(header(numbers.count - 1).utf8) else {
            throw GradDBError(
                .usage,
                "\(path) belongs to another selection, or the table has changed since (--at takes the "
                    + "snapshot that it was begun with); leave out --resume to begin again")
        }
        return numbers.dropLast()
    }

    private func damaged() -> GradDBError {
        GradDBError(
            .badInput,
            "\(path) is not the progress of a selection, or is damaged; leave out --resume "
                + "to begin again")
    }

    private func header(_ count: Int) -> String {
        JSONObject([
            ("selection", .int(1)), ("question", .string(question)),
            ("numbers", .int(Int64(count))),
        ]).text
    }

    /// Writes a state, unless the last one was written a moment ago.
    package mutating func write(_ numbers: () -> [UInt64]) throws {
        let started = ContinuousClock.now
        if let lastWritten, started - lastWritten < pause { return }
        try writeNow(numbers())
        let ended = ContinuousClock.now
        lastWritten = ended
        // Large states are written less often.
        pause = max(.seconds(Self.seconds), (ended - started) * 20)
    }

    private func writeNow(_ numbers: [UInt64]) throws {
        var bytes = Array((header(numbers.count) + "\n").utf8)
        bytes.reserveCapacity(bytes.count + 8 * numbers.count + 8)
        for number in numbers { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }
        let checksum = bytes.withUnsafeBytes { kernels.hash($0) }
        withUnsafeBytes(of: checksum.littleEndian) { bytes += $0 }
        // By a name of its own: two commands may have the same output.
        let newPath = "\(path).\(getpid())"
        try DurableFiles.write(bytes, to: newPath)
        guard rename(newPath, path) == 0 else { throw DurableFiles.failure("write", path) }
    }

    /// Forgets what there is.
    package func remove() throws {
        guard unlink(path) == 0 || errno == ENOENT else {
            throw DurableFiles.failure("remove", path)
        }
    }
}

extension Database {
    /// What tells databases apart, wherever they lie.
    var identity: String {
        get throws {
            try catalog.document(Catalog.Key.database, as: DatabaseDocument.self)?.created ?? ""
        }
    }
}
