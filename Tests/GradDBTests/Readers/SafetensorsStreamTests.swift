import Foundation
import GradDB
import Testing

/// The stream of messages on standard input, through real pipes.
@Suite struct SafetensorsStreamTests {
    typealias MalformedInput = ReaderFixtures.MalformedInput

    private let directory: ReaderFixtures.Directory

    init() throws {
        directory = try ReaderFixtures.Directory()
    }

    private static func message(_ document: [UInt8]) -> [UInt8] {
        ReaderFixtures.littleEndian(UInt64(document.count)) + document
    }

    private static func document(rows: Int, dims: Int = 5) -> [UInt8] {
        ReaderFixtures.safetensors(dtype: "F32", shape: [rows, dims], elementBytes: 4)
    }

    private func stream(_ pipe: Pipe, memoryLimit: Int = 1 << 20) -> SafetensorsStream {
        SafetensorsStream(
            .init(rawValue: pipe.fileHandleForReading.fileDescriptor),
            spoolDirectory: directory.path, memoryLimit: memoryLimit)
    }

    @Test(arguments: [(1 << 20), 64], [1, 7, 4_093])
    func readsMessagesThatArriveInOddPieces(memoryLimit: Int, piece: Int) throws {
        let rows = [3, 0, 1, 200, 17]
        let bytes = rows.flatMap { Self.message(Self.document(rows: $0)) }
        let pipe = Pipe()
        let sender = Thread {
            for start in stride(from: 0, to: bytes.count, by: piece) {
                let part = bytes[start..<min(start + piece, bytes.count)]
                try? pipe.fileHandleForWriting.write(contentsOf: Data(part))
            }
            try? pipe.fileHandleForWriting.close()
        }
        sender.start()

        let stream = stream(pipe, memoryLimit: memoryLimit)
        // All messages are kept while later ones are read: each owns its bytes.
        var messages: [TensorFile] = []
        while let message = try stream.next() { messages.append(message) }
        #expect(try stream.next() == nil)
        #expect(messages.map(\.name) == (1...5).map { "standard input, message \($0)" })
        for (message, count) in zip(messages, rows) {
            #expect(try message.rowCount(of: ["grad"]) == count)
            let all = try ReaderFixtures.filled(count * 20) {
                try message.read(tensor: "grad", rows: 0..<count, into: $0)
            }
            #expect(all == ReaderFixtures.pattern(count * 20))
        }
    }

    @Test func spoolsLargeMessagesToFilesWithoutNames() throws {
        let document = Self.document(rows: 2_000)
        let pipe = Pipe()
        let sender = Thread {
            try? pipe.fileHandleForWriting.write(contentsOf: Data(Self.message(document)))
            try? pipe.fileHandleForWriting.close()
        }
        sender.start()
        let message = try #require(try stream(pipe, memoryLimit: document.count - 1).next())

        let open = try openFiles(in: directory.path)
        #expect(open.count == 1)
        #expect(open.allSatisfy { $0.hasSuffix("(deleted)") })
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path).isEmpty)
        let last = try ReaderFixtures.filled(20) {
            try message.read(tensor: "grad", rows: 1_999..<2_000, into: $0)
        }
        #expect(last == ReaderFixtures.pattern(20, from: 1_999 * 20))
    }

    @Test func keepsMessagesUpToTheLimitInMemory() throws {
        let document = Self.document(rows: 20)
        let pipe = Pipe()
        try pipe.fileHandleForWriting.write(contentsOf: Data(Self.message(document)))
        try pipe.fileHandleForWriting.close()
        let message = try stream(pipe, memoryLimit: document.count).next()
        #expect(message?.byteCount == document.count)
        #expect(try openFiles(in: directory.path).isEmpty)
    }

    @Test func saysWhereItCouldNotSpool() throws {
        let document = Self.document(rows: 20)
        let pipe = Pipe()
        try pipe.fileHandleForWriting.write(contentsOf: Data(Self.message(document)))
        try pipe.fileHandleForWriting.close()
        let stream = SafetensorsStream(
            .init(rawValue: pipe.fileHandleForReading.fileDescriptor),
            spoolDirectory: directory.path + "/none", memoryLimit: 8)
        let failure = ReaderFixtures.failure { _ = try stream.next() }
        #expect(failure.kind == .io)
        #expect(failure.message.contains("message 1"))
        #expect(failure.message.contains(directory.path + "/none"))
    }

    @Test func anEmptyStreamHasNoMessages() throws {
        let pipe = Pipe()
        try pipe.fileHandleForWriting.close()
        #expect(try stream(pipe).next() == nil)
    }

    @Test func reportsADescriptorThatCannotBeRead() throws {
        let stream = SafetensorsStream(
            .init(rawValue: -1), spoolDirectory: directory.path)
        let failure = ReaderFixtures.failure { _ = try stream.next() }
        #expect(failure.kind == .io)
        #expect(failure.message.contains("standard input, message 1: cannot read"))
    }

    static let malformed: [MalformedInput] = [
        .init("a length of zero", ReaderFixtures.littleEndian(UInt64(0)), "a length of 0 bytes"),
        .init("a length of nine", ReaderFixtures.littleEndian(UInt64(9)), "a length of 9 bytes"),
        .init(
            "an absurd length", ReaderFixtures.littleEndian(UInt64.max),
            "a length of 18446744073709551615 bytes at byte"),
        .init("text", Array("{\"id\": 1}\n".utf8), "is no message of safetensors"),
        .init("half a length", [1, 2, 3], "inside the length before the message"),
        .init(
            "a message cut short",
            Array(message(document(rows: 2)).dropLast()),
            "after 108 of the 109 bytes of this message"),
        .init(
            "a large message cut short",
            ReaderFixtures.littleEndian(UInt64(5_000_000_000)) + [UInt8](repeating: 0, count: 99),
            "after 99 of the 5000000000 bytes"),
        .init("a length and nothing", ReaderFixtures.littleEndian(UInt64(64)), "after 0 of the 64"),
        .init(
            "a message that is malformed",
            message(ReaderFixtures.safetensors(header: "{\"a\":1}", data: [])),
            "tensor \"a\": its header entry"),
        .init(
            "a message with bytes behind its tensors", message(document(rows: 2) + [0]),
            "1 bytes at the end"),
        .init("a bare safetensors file", document(rows: 2), "the header of a safetensors file"),
    ]

    @Test(arguments: malformed, [0, 1, 2])
    func isRefusedAfterAnyNumberOfGoodMessages(input: MalformedInput, good: Int) throws {
        let pipe = Pipe()
        let before = (0..<good).flatMap { _ in Self.message(Self.document(rows: 1)) }
        try pipe.fileHandleForWriting.write(contentsOf: Data(before + input.bytes))
        try pipe.fileHandleForWriting.close()
        let stream = stream(pipe)
        for _ in 0..<good { #expect(try stream.next() != nil) }
        // The second call shows that a failed stream stays failed.
        for _ in 0..<2 {
            let failure = ReaderFixtures.failure { _ = try stream.next() }
            #expect(failure.kind == .badInput)
            #expect(failure.message.hasPrefix("standard input, message \(good + 1): "))
            #expect(failure.message.contains(input.message), "\(failure.message)")
        }
    }

    @Test func isRefusedWhenCutAtAnyByte() throws {
        let one = Self.message(Self.document(rows: 2))
        for count in 1..<one.count {
            let pipe = Pipe()
            try pipe.fileHandleForWriting.write(contentsOf: Data(one + one[..<count]))
            try pipe.fileHandleForWriting.close()
            let stream = stream(pipe, memoryLimit: count.isMultiple(of: 2) ? 32 : 1_000)
            #expect(try stream.next() != nil)
            let failure = ReaderFixtures.failure { _ = try stream.next() }
            #expect(failure.kind == .badInput, "cut at \(count): \(failure)")
            #expect(failure.message.contains("message 2"))
            #expect(failure.message.contains("byte \(one.count + count)"), "\(failure.message)")
        }
    }

    /// Targets of this process's descriptors that lie in a directory. Linux only, elsewhere none.
    private func openFiles(in directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").compactMap {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")
        }.filter { $0.hasPrefix(directory) }
    }
}
