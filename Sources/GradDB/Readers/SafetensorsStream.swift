// A stream of safetensors messages, as gradctl takes on standard input:
//
//   message, message, … end       message = 8 bytes   N, unsigned, little-endian
//                                           N bytes   one complete safetensors document
//
//  1. A length is read. The end of the stream in its place is the end of the input.
//  2. Up to `memoryLimit` bytes are read into memory; a longer message is written through a small
//     buffer to an unlinked file, so that no message is too long for our memory.
//  3. The whole message is parsed as a file would be. Only then is it handed out, so a sender that
//     dies in the middle of a message leaves all earlier ones good and this one refused.
//
// After a failure the position in the stream is unknown, so the same failure is thrown for ever.

import SystemPackage

/// Reads messages one after the other from a descriptor that somebody else owns and closes.
/// Not for use from several threads at once; the messages themselves are.
package final class SafetensorsStream {
    /// Longer messages go to disk.
    package static let memoryLimit = 64 << 20
    /// No storage holds a longer message, so it is garbage; text taken for a length is beyond it.
    static let longestMessage: UInt64 = 1 << 48
    private static let copyBytes = 1 << 20

    private let descriptor: FileDescriptor
    private let streamName: String
    private let spoolDirectory: FilePath
    private let memoryLimit: Int
    private var messageNumber = 0
    /// Bytes taken from the stream so far.
    private var position = 0
    private var failure: GradDBError?

    /// Messages from `descriptor`; those over `memoryLimit` bytes are kept in files without names
    /// in `spoolDirectory`, which must exist when the first of them arrives.
    package init(
        _ descriptor: FileDescriptor = .standardInput, name: String = "standard input",
        spoolDirectory: String, memoryLimit: Int = SafetensorsStream.memoryLimit
    ) {
        self.descriptor = descriptor
        self.streamName = name
        self.spoolDirectory = FilePath(spoolDirectory)
        self.memoryLimit = memoryLimit
    }

    /// The next message, or nil where the stream ended behind the one before.
    package func next() throws(GradDBError) -> TensorFile? {
        if let failure { throw failure }
        do {
            messageNumber += 1
            guard let length = try readLength() else {
                messageNumber -= 1
                return nil
            }
            let bytes: any ByteSource =
                length <= memoryLimit ? try keep(length) : try spool(length)
            try refuseBareFile(bytes)
            return try TensorFile(safetensors: bytes, name: name)
        } catch {
            failure = error
            throw error
        }
    }

    /// What errors call the message that is being read.
    private var name: String { "\(streamName), message \(messageNumber)" }

    private func readLength() throws(GradDBError) -> Int? {
        var prefix: [UInt8] = []
        try fill(&prefix, count: 8)
        if prefix.isEmpty { return nil }
        guard prefix.count == 8 else {
            throw .badInput(
                "\(name): the stream ends at byte \(position), inside the length before the "
                    + "message; the sender stopped early, send it again")
        }
        let length = UInt64(littleEndianBytes: prefix)
        guard length >= TensorFile.safetensorsLeastBytes, length <= Self.longestMessage else {
            throw .badInput(
                "\(name): a length of \(length) bytes at byte \(position - 8) is no message of "
                    + "safetensors; send each document after its length, 8 bytes, little-endian")
        }
        return Int(length)
    }

    private func keep(_ length: Int) throws(GradDBError) -> MemoryBytes {
        var message: [UInt8] = []
        try fill(&message, count: length)
        guard message.count == length else { throw truncated(message.count, of: length) }
        return MemoryBytes(message)
    }

    private func spool(_ length: Int) throws(GradDBError) -> FileBytes {
        let file: FileDescriptor
        do {
            file = try SpoolFile.create(in: spoolDirectory)
        } catch {
            throw spoolFailure(error, length)
        }
        // Closes the file when it goes out of scope on an error.
        let bytes = FileBytes(owning: file, byteCount: length)
        var done = 0
        var piece: [UInt8] = []
        while done < length {
            let wanted = min(Self.copyBytes, length - done)
            try fill(&piece, count: wanted)
            do {
                _ = try file.writeAll(piece)
            } catch {
                throw spoolFailure(SystemFailure(error), length)
            }
            done += piece.count
            guard piece.count == wanted else { throw truncated(done, of: length) }
        }
        return bytes
    }

    /// Replaces `bytes` by the next `count` of the stream, fewer only at its end.
    private func fill(_ bytes: inout [UInt8], count: Int) throws(GradDBError) {
        do {
            bytes = try descriptor.readFully(count)
        } catch {
            throw GradDBError(.io, "\(name): cannot read after byte \(position): \(error.text)")
        }
        position += bytes.count
    }

    private func truncated(_ done: Int, of length: Int) -> GradDBError {
        .badInput(
            "\(name): the stream ends at byte \(position), after \(done) of the \(length) bytes of "
                + "this message; the sender stopped early, send it again")
    }

    /// A safetensors file sent as it is begins with the length of its header, so that its header
    /// arrives here as a message. No message begins with a brace and seven other characters.
    private func refuseBareFile(_ bytes: any ByteSource) throws(GradDBError) {
        let start = try bytes.header(0..<8, of: name)
        guard start[0] != UInt8(ascii: "{") || start.contains(where: { $0 < 0x20 }) else {
            throw .badInput(
                "\(name): this is the header of a safetensors file, not a whole document; send "
                    + "each file after its length, 8 bytes, little-endian")
        }
    }

    private func spoolFailure(_ failure: SystemFailure, _ length: Int) -> GradDBError {
        GradDBError(
            .io,
            "\(name): cannot keep its \(length) bytes in \(spoolDirectory.string): "
                + "\(failure.text); make space there, or send messages of up to "
                + "\(memoryLimit) bytes")
    }
}
