import Foundation
import GradDB
import Testing

/// Malformed safetensors: always one clear error, never a crash, never an answer.
@Suite struct SafetensorsMalformedTests {
    typealias MalformedInput = ReaderFixtures.MalformedInput

    /// A header around one entry of the tensor `t`, with `data` bytes behind it.
    private static func entry(
        _ what: String, _ entry: String, data: Int = 8, _ message: String
    ) -> MalformedInput {
        header(what, "{\"t\":\(entry)}", data: data, message)
    }

    private static func header(
        _ what: String, _ header: String, data: Int = 8, _ message: String
    ) -> MalformedInput {
        MalformedInput(
            what,
            ReaderFixtures.safetensors(header: header, data: ReaderFixtures.pattern(data)), message)
    }

    private static let good = "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}"

    static let lengths: [MalformedInput] = [
        .init("empty file", [], "only 0 bytes"),
        .init("nine bytes", [1, 0, 0, 0, 0, 0, 0, 0, 0x7B], "only 9 bytes"),
        .init(
            "header longer than the file",
            ReaderFixtures.littleEndian(UInt64(100)) + Array("{}        ".utf8),
            "only 10 bytes follow"),
        .init(
            "header of more than 100 MB",
            ReaderFixtures.littleEndian(UInt64(100_000_001)) + Array("{}".utf8),
            "the format allows 100000000"),
        .init(
            "header length of all ones",
            [UInt8](repeating: 0xFF, count: 64), "18446744073709551615 bytes is announced"),
        .init(
            "no header",
            ReaderFixtures.littleEndian(UInt64(0)) + [1, 2, 3], "does not begin with \"{\""),
        .init("text", Array("a,b,c\n1,2,3\n4,5,6\n".utf8), "no safetensors file"),
    ]

    static let json: [MalformedInput] = [
        header("leading space", " {\"t\":\(good)}", "does not begin with \"{\""),
        header("an array", "[1]", "does not begin with \"{\""),
        header("cut short", "{\"t\":{\"dtype\":\"F32\"", "not valid JSON"),
        header("text behind", "{\"t\":\(good)}x", "not valid JSON"),
        header("second object", "{\"t\":\(good)}{}", "not valid JSON"),
        header("trailing comma", "{\"t\":\(good),}", "not valid JSON"),
        header("no comma", "{\"t\":\(good) \"u\":\(good)}", "not valid JSON"),
        header("no colon", "{\"t\" \(good)}", "not valid JSON"),
        header("a key without quotes", "{t:\(good)}", "not valid JSON"),
        header("no value", "{\"t\":}", "not valid JSON"),
        header("a key with a wrong escape", "{\"\\q\":\(good)}", "is no string"),
        header("half a surrogate", "{\"\\ud800\":\(good)}", "is no string"),
        header("a string that never ends", "{\"t", "not valid JSON"),
        header("a NUL", "{\"t\u{0}\":\(good)}", "not valid UTF-8"),
        .init(
            "bytes that are no UTF-8",
            ReaderFixtures.littleEndian(UInt64(6)) + [0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x7D],
            "not valid UTF-8"),
        header("the same tensor twice", "{\"t\":\(good),\"t\":\(good)}", "\"t\" occurs twice"),
        header(
            "the same tensor twice, once escaped", "{\"t\":\(good),\"\\u0074\":\(good)}",
            "\"t\" occurs twice"),
        header(
            "metadata twice", "{\"__metadata__\":{},\"__metadata__\":{},\"t\":\(good)}",
            "\"__metadata__\" occurs twice"),
        header("metadata is a string", "{\"__metadata__\":\"x\",\"t\":\(good)}", "no object"),
        header("metadata is null", "{\"__metadata__\":null,\"t\":\(good)}", "no object"),
        header(
            "metadata of numbers", "{\"__metadata__\":{\"a\":1},\"t\":\(good)}",
            "the value of \"a\" is no string"),
        header(
            "nested metadata", "{\"__metadata__\":{\"a\":{\"b\":\"c\"}},\"t\":\(good)}",
            "the value of \"a\" is no string"),
        header(
            "a metadata key twice", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"},\"t\":\(good)}",
            "\"a\" occurs twice in __metadata__"),
        header(
            "a hundred thousand brackets",
            "{\"t\":" + String(repeating: "[", count: 100_000) + "}", "not valid JSON"),
        header(
            "nested arrays for a tensor",
            "{\"t\":" + String(repeating: "[", count: 9_000)
                + String(repeating: "]", count: 9_000) + "}", "must have exactly"),
    ]

    static let entries: [MalformedInput] = [
        entry("a number for a tensor", "5", "must have exactly"),
        entry("null for a tensor", "null", "must have exactly"),
        entry("no dtype", "{\"shape\":[2,1],\"data_offsets\":[0,8]}", "must have exactly"),
        entry("no shape", "{\"dtype\":\"F32\",\"data_offsets\":[0,8]}", "must have exactly"),
        entry("no offsets", "{\"dtype\":\"F32\",\"shape\":[2,1]}", "must have exactly"),
        entry(
            "a key that the format has not",
            "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8],\"x\":1}",
            "must have exactly"),
        entry(
            "a shape twice",
            "{\"dtype\":\"F32\",\"shape\":[2,1],\"shape\":[1,2],\"data_offsets\":[0,8]}",
            "must have exactly"),
        entry(
            "an unknown dtype", "{\"dtype\":\"F31\",\"shape\":[2,1],\"data_offsets\":[0,8]}",
            "dtype \"F31\" is unknown"),
        entry(
            "dtype in lower case", "{\"dtype\":\"f32\",\"shape\":[2,1],\"data_offsets\":[0,8]}",
            "dtype \"f32\" is unknown"),
        entry(
            "dtype is a number", "{\"dtype\":32,\"shape\":[2,1],\"data_offsets\":[0,8]}",
            "must have exactly"),
        entry(
            "a negative size", "{\"dtype\":\"F32\",\"shape\":[-2,-1],\"data_offsets\":[0,8]}",
            "negative size"),
        entry(
            "a fraction for a size",
            "{\"dtype\":\"F32\",\"shape\":[2.0,1],\"data_offsets\":[0,8]}", "must have exactly"),
        entry(
            "an exponent in an offset",
            "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8e0]}", "must have exactly"),
        entry(
            "a leading zero", "{\"dtype\":\"F32\",\"shape\":[02,1],\"data_offsets\":[0,8]}",
            "must have exactly"),
        entry(
            "a string for a size", "{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]}",
            "must have exactly"),
        entry(
            "a size beyond 64 bits",
            "{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]}",
            "must have exactly"),
        entry(
            "a product beyond 64 bits",
            "{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}",
            "overflows"),
        entry(
            "a product beyond 64 bits, then nothing",
            "{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,0],\"data_offsets\":[0,0]}",
            data: 0, "overflows"),
        entry(
            "bytes beyond 64 bits",
            "{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,8]}",
            "overflows"),
        entry(
            "half a byte", "{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}", data: 1,
            "whole number of bytes"),
    ]

    static let layouts: [MalformedInput] = [
        entry(
            "one offset", "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8]}",
            "must have exactly"),
        entry(
            "three offsets", "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8,8]}",
            "must have exactly"),
        entry(
            "offsets the wrong way", "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,0]}",
            "are no range"),
        entry(
            "a negative offset", "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[-8,0]}",
            "are no range"),
        entry(
            "offsets behind the end",
            "{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}", "lie outside"),
        entry(
            "offsets near the largest integer",
            "{\"dtype\":\"U8\",\"shape\":[7],"
                + "\"data_offsets\":[9223372036854775800,9223372036854775807]}",
            "lie outside"),
        entry(
            "more bytes than elements",
            "{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,8]}",
            "needs 4 bytes, but its data_offsets span 8"),
        entry(
            "fewer bytes than elements",
            "{\"dtype\":\"F32\",\"shape\":[3,1],\"data_offsets\":[0,8]}",
            "needs 12 bytes, but its data_offsets span 8"),
        header("truncated data", "{\"t\":\(good)}", data: 7, "truncated or damaged"),
        header("data too long", "{\"t\":\(good)}", data: 9, "1 bytes at the end"),
        header("data without tensors", "{}", data: 1, "1 bytes at the end"),
        entry(
            "a hole in front", "{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[4,8]}",
            "follows a hole at data byte 4"),
        header(
            "a hole between",
            "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]},"
                + "\"b\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[6,8]}}",
            "\"b\" follows a hole at data byte 6"),
        header(
            "an overlap",
            "{\"a\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[0,6]},"
                + "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[4,8]}}",
            "\"b\" overlaps another tensor at data byte 4"),
        header(
            "two tensors in one place", "{\"t\":\(good),\"u\":\(good)}", "overlaps another tensor"),
        header(
            "an empty tensor inside another",
            "{\"t\":\(good),\"u\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}",
            "\"u\" overlaps another tensor at data byte 4"),
    ]

    @Test(arguments: lengths + json + entries + layouts)
    func isRefusedByName(input: MalformedInput) throws {
        let directory = try ReaderFixtures.Directory()
        let path = try directory.write("bad.safetensors", input.bytes)
        let failures = [
            ReaderFixtures.failure { _ = try TensorFile(safetensors: path) },
            ReaderFixtures.failure {
                _ = try TensorFile(safetensors: input.bytes, name: path)
            },
        ]
        for failure in failures {
            #expect(failure.kind == .badInput)
            #expect(failure.message.hasPrefix("\(path): "))
            #expect(failure.message.contains(input.message), "\(failure.message)")
            #expect(failure.message.utf8.count < 1_000)
        }
    }

    @Test func isRefusedWhenCutAtAnyByte() throws {
        let header =
            "{\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
            + "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}}  "
        let whole = ReaderFixtures.safetensors(header: header, data: ReaderFixtures.pattern(16))
        let directory = try ReaderFixtures.Directory()
        for count in 0..<whole.count {
            let path = try directory.write("cut.safetensors", Array(whole[..<count]))
            let failure = ReaderFixtures.failure { _ = try TensorFile(safetensors: path) }
            #expect(failure.kind == .badInput, "cut at \(count): \(failure)")
        }
        #expect(try TensorFile(safetensors: whole, name: "whole").tensors.count == 2)
        let failure = ReaderFixtures.failure {
            _ = try TensorFile(safetensors: whole + [0], name: "longer")
        }
        #expect(failure.kind == .badInput)
    }

    /// Whatever the header says, opening either fails cleanly or gives tensors that lie in the
    /// file and can be read.
    @Test func survivesRandomChanges() throws {
        let header =
            "{\"__metadata__\":{\"format\":\"pt\"},"
            + "\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
            + "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}}"
        let whole = ReaderFixtures.safetensors(header: header, data: ReaderFixtures.pattern(16))
        let likely = Array("{}[]\",:0123456789-.eFabB\\u \u{0}".utf8)
        let seed = ReaderFixtures.seed("safetensors")
        var numbers = SeededRandom(seed: seed)
        var opened = 0
        for round in 0..<5_000 {
            var bytes = whole
            for _ in 0...Int.random(in: 0..<4, using: &numbers) {
                let place = Int.random(in: 0..<whole.count, using: &numbers)
                guard place < bytes.count else { continue }
                switch UInt8.random(in: 0..<4, using: &numbers) {
                case 0: bytes[place] = .random(in: .min ... .max, using: &numbers)
                case 1: bytes[place] = likely.randomElement(using: &numbers) ?? 0
                case 2: bytes.remove(at: place)
                default: bytes.insert(likely.randomElement(using: &numbers) ?? 0, at: place)
                }
            }
            do {
                let file = try TensorFile(safetensors: bytes, name: "mutated")
                opened += 1
                for (name, info) in file.tensors {
                    #expect(info.byteOffset >= 8, "round \(round), seed \(seed)")
                    #expect(info.byteOffset + info.byteCount <= bytes.count)
                    guard let matrix = try? file.matrix(name, allowVector: true) else { continue }
                    _ = try ReaderFixtures.filled(matrix.rows * matrix.rowBytes) {
                        try file.read(tensor: name, rows: 0..<matrix.rows, into: $0)
                    }
                }
            } catch let error as GradDBError {
                #expect(error.kind == .badInput, "round \(round), seed \(seed): \(error)")
            }
        }
        #expect(opened < 5_000)
    }

    @Test func refusesWhatIsNoFile() throws {
        let directory = try ReaderFixtures.Directory()
        let missing = ReaderFixtures.failure {
            _ = try TensorFile(safetensors: directory.path + "/none.safetensors")
        }
        #expect(missing.kind == .badInput)
        #expect(missing.message.contains("/none.safetensors: no such file"))

        let folder = ReaderFixtures.failure { _ = try TensorFile(safetensors: directory.path) }
        #expect(folder.kind == .badInput)
        #expect(folder.message.contains("is a directory"))

        let pipe = directory.path + "/pipe.safetensors"
        try #require(mkfifo(pipe, 0o600) == 0)
        let fifo = ReaderFixtures.failure { _ = try TensorFile(safetensors: pipe) }
        #expect(fifo.kind == .badInput)
        #expect(fifo.message.contains("is not a regular file"))

        let inFile = try directory.write("file", "x")
        let below = ReaderFixtures.failure { _ = try TensorFile(safetensors: inFile + "/a") }
        #expect(below.kind == .badInput)
    }

    @Test(.enabled(if: geteuid() != 0, "root may read everything"))
    func namesAFileThatMayNotBeRead() throws {
        let directory = try ReaderFixtures.Directory()
        let path = try directory.write("secret.safetensors", [1])
        try #require(chmod(path, 0) == 0)
        let failure = ReaderFixtures.failure { _ = try TensorFile(safetensors: path) }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("change its permissions"))
    }
}
