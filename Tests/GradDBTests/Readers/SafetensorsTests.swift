import Foundation
import GradDB
import Testing

/// Well-formed safetensors: what is in them comes out.
@Suite struct SafetensorsTests {
    private let directory: ReaderFixtures.Directory

    init() throws {
        directory = try ReaderFixtures.Directory()
    }

    @Test(arguments: [
        ("F32", VectorElement.f32, 4), ("F16", .f16, 2), ("BF16", .bf16, 2),
    ])
    func readsRowsOfEachFloatType(dtype: String, element: VectorElement, bytes: Int) throws {
        let document = ReaderFixtures.safetensors(
            dtype: dtype, shape: [5, 7], elementBytes: bytes)
        let file = try TensorFile(safetensors: directory.write("a.safetensors", document))
        let matrix = try file.matrix("grad", allowVector: false)

        #expect(matrix.element == element)
        #expect(matrix.rows == 5)
        #expect(matrix.dims == 7)
        #expect(matrix.rowBytes == 7 * bytes)
        #expect(file.byteCount == document.count)
        #expect(try file.rowCount(of: ["grad"]) == 5)
        let all = ReaderFixtures.pattern(5 * 7 * bytes)
        for first in 0...5 {
            for last in first...5 {
                let rows = try ReaderFixtures.filled((last - first) * matrix.rowBytes) {
                    try file.read(tensor: "grad", rows: first..<last, into: $0)
                }
                #expect(rows == Array(all[first * matrix.rowBytes..<last * matrix.rowBytes]))
            }
        }
    }

    @Test func findsTensorsWhateverTheOrderOfTheHeader() throws {
        let header = """
             {"z\\u00e9" : {"shape": [2, 2], "data_offsets":[8, 16], "dtype": "F16"},
              "empty":{"dtype":"F32","shape":[0,4],"data_offsets":[8,8]},
              "__metadata__": {"format": "pt", "note": "a \\"b\\""},
              "a":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},
              "i":{"dtype":"I64","shape":[],"data_offsets":[16,24]} }
            """.drop(while: { $0 == " " }) + "        "
        let file = try TensorFile(
            safetensors: ReaderFixtures.safetensors(
                header: String(header), data: ReaderFixtures.pattern(24)),
            name: "memory")

        #expect(Set(file.tensors.keys) == ["zé", "empty", "a", "i"])
        let read = { (name: String) in
            try ReaderFixtures.filled(4) { try file.read(tensor: name, rows: 1..<2, into: $0) }
        }
        #expect(try read("a") == ReaderFixtures.pattern(4, from: 4))
        #expect(try read("zé") == ReaderFixtures.pattern(4, from: 12))
        #expect(try file.rowCount(of: ["empty"]) == 0)
        #expect(try file.rowCount(of: ["a", "zé"]) == 2)
        #expect(file.tensors["i"]?.shape == [])
    }

    @Test func takesADocumentWithoutTensors() throws {
        let file = try TensorFile(
            safetensors: ReaderFixtures.safetensors(header: "{}", data: []), name: "memory")
        #expect(file.tensors.isEmpty)
        let failure = ReaderFixtures.failure { _ = try file.matrix("grad", allowVector: false) }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("holds no tensors at all"))
    }

    @Test(arguments: [
        ("BOOL", 8), ("U8", 8), ("I8", 8), ("I16", 16), ("U16", 16), ("I32", 32), ("U32", 32),
        ("I64", 64), ("U64", 64), ("F64", 64), ("C64", 64), ("F8_E4M3", 8), ("F8_E5M2", 8),
        ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("F4", 4), ("F6_E2M3", 6),
        ("F6_E3M2", 6),
    ])
    func otherTypesMayBePresentButNotRead(dtype: String, bits: Int) throws {
        let extra = 2 * 4 * bits / 8
        let header =
            "{\"grad\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
            + "\"x\":{\"dtype\":\"\(dtype)\",\"shape\":[2,4],\"data_offsets\":[8,\(8 + extra)]}}"
        let file = try TensorFile(
            safetensors: ReaderFixtures.safetensors(
                header: header, data: ReaderFixtures.pattern(8 + extra)),
            name: "memory")

        #expect(try file.rowCount(of: ["grad"]) == 2)
        let failure = ReaderFixtures.failure {
            try file.read(tensor: "x", rows: 0..<1, into: .init(start: nil, count: 0))
        }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("memory: tensor \"x\" has dtype \(dtype)"))
        #expect(failure.message.contains("torch.float32"))
    }

    @Test func aVectorIsOneRowOnlyWhereThatIsAllowed() throws {
        let file = try TensorFile(
            safetensors: ReaderFixtures.safetensors(dtype: "F32", shape: [6], elementBytes: 4),
            name: "query")
        let matrix = try file.matrix("grad", allowVector: true)
        #expect((matrix.rows, matrix.dims, matrix.rowBytes) == (1, 6, 24))
        let row = try ReaderFixtures.filled(24) {
            try file.read(tensor: "grad", rows: 0..<1, into: $0)
        }
        #expect(row == ReaderFixtures.pattern(24))

        let failure = ReaderFixtures.failure { _ = try file.matrix("grad", allowVector: false) }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("written as [1, 6]"))
    }

    @Test(arguments: [
        ([], "has shape []"), ([2, 2, 2], "has shape [2, 2, 2]"), ([3, 0], "no dimensions"),
        ([0, Int.max / 2], "larger than any memory"),
    ])
    func refusesShapesThatAreNoRows(shape: [Int], message: String) throws {
        let file = try TensorFile(
            safetensors: ReaderFixtures.safetensors(dtype: "F32", shape: shape, elementBytes: 4),
            name: "memory")
        let failure = ReaderFixtures.failure { _ = try file.matrix("grad", allowVector: true) }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("memory: tensor \"grad\""))
        #expect(failure.message.contains(message))
    }

    @Test func namesTheTensorThatIsMissingAndThoseThatAreThere() throws {
        let header =
            "{"
            + (0..<10).map {
                "\"layer.\($0)\":{\"dtype\":\"F32\",\"shape\":[0,1],\"data_offsets\":[0,0]}"
            }.joined(separator: ",") + "}"
        let file = try TensorFile(
            safetensors: ReaderFixtures.safetensors(header: header, data: []), name: "f")
        let failure = ReaderFixtures.failure { _ = try file.rowCount(of: ["layer.3", "grad"]) }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("f has no tensor \"grad\""))
        #expect(failure.message.contains("\"layer.0\""))
        #expect(failure.message.contains("and 2 more"))
    }

    @Test func refusesLayersOfDifferentRowCounts() throws {
        let header =
            "{\"a\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[0,4]},"
            + "\"b\":{\"dtype\":\"F16\",\"shape\":[3,1],\"data_offsets\":[4,10]}}"
        let file = try TensorFile(
            safetensors: ReaderFixtures.safetensors(
                header: header, data: ReaderFixtures.pattern(10)),
            name: "f")
        let failure = ReaderFixtures.failure { _ = try file.rowCount(of: ["a", "b"]) }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("\"b\" has 3 rows, but \"a\" has 2"))
    }

    @Test func aFileThatShrinksIsAnErrorAndNoCrash() throws {
        let document = ReaderFixtures.safetensors(dtype: "F32", shape: [4, 8], elementBytes: 4)
        let path = try directory.write("shrinks.safetensors", document)
        let file = try TensorFile(safetensors: path)
        let kept = document.count - 40
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.truncate(atOffset: UInt64(kept))

        let failure = ReaderFixtures.failure {
            _ = try ReaderFixtures.filled(128) {
                try file.read(tensor: "grad", rows: 0..<4, into: $0)
            }
        }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains(path))
        #expect(failure.message.contains("tensor \"grad\""))
        #expect(failure.message.contains("ends at byte \(kept)"))
        let first = try ReaderFixtures.filled(32) {
            try file.read(tensor: "grad", rows: 0..<1, into: $0)
        }
        #expect(first == ReaderFixtures.pattern(32))
    }

    @Test func readsFromSeveralThreadsAtOnce() async throws {
        let document = ReaderFixtures.safetensors(dtype: "F32", shape: [64, 33], elementBytes: 4)
        let file = try TensorFile(safetensors: directory.write("many.safetensors", document))
        let all = ReaderFixtures.pattern(64 * 33 * 4)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for row in 0..<64 {
                group.addTask {
                    let bytes = try ReaderFixtures.filled(132) {
                        try file.read(tensor: "grad", rows: row..<row + 1, into: $0)
                    }
                    return bytes == Array(all[row * 132..<(row + 1) * 132])
                }
            }
            for try await same in group { #expect(same) }
        }
    }
}
