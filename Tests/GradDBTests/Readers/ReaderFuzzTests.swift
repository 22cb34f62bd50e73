// Whatever an input file is, it is read, or refused with one clear error; it crashes nothing.

import Foundation
import GradDB
import Testing

@Suite struct ReaderFuzzTests {
    private func fuzz(
        _ what: String, _ sound: [[UInt8]], isText: Bool = false,
        _ body: ([UInt8]) throws -> Void
    ) throws {
        let seed = TestScale.seed(of: "fuzz of \(what)")
        var mutator = Mutator(seed: seed)
        let end = ContinuousClock.now + .seconds(TestScale.fuzzSeconds)
        var counts = (taken: 0, refused: 0)
        while ContinuousClock.now < end {
            for _ in 0..<50 {
                let base = sound[mutator.below(sound.count)]
                let bytes =
                    isText || mutator.below(2) == 0 ? mutator.json(base) : mutator.bytes(base)
                do {
                    try body(bytes)
                    counts.taken += 1
                } catch let error as GradDBError {
                    counts.refused += 1
                    #expect(error.kind == .badInput, "seed \(seed): \(error)")
                    #expect(!error.message.isEmpty && error.message.utf8.count < 4_000)
                }
            }
        }
        print("fuzz of \(what): \(counts)")
        #expect(min(counts.taken, counts.refused) > 0)
    }

    private func readAll(_ file: TensorFile) throws {
        for name in file.tensors.keys.sorted() {
            guard let matrix = try? file.matrix(name, allowVector: true) else { continue }
            _ = try ReaderFixtures.filled(min(matrix.rows, 2) * matrix.rowBytes) {
                try file.read(tensor: name, rows: 0..<min(matrix.rows, 2), into: $0)
            }
        }
    }

    @Test func safetensors() throws {
        let directory = try ReaderFixtures.Directory()
        let sound = [
            ReaderFixtures.safetensors(dtype: "F32", shape: [3, 5], elementBytes: 4),
            ReaderFixtures.safetensors(
                header: "{\"a\":{\"dtype\":\"F16\",\"shape\":[2,4],\"data_offsets\":[0,16]},"
                    + "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,1,3],\"data_offsets\":[16,28]},"
                    + "\"__metadata__\":{\"k\":\"v\"}}", data: ReaderFixtures.pattern(28)),
        ]
        try fuzz("safetensors", sound) { bytes in
            var bytes = bytes
            // The header's length made right, so that the header is looked at.
            if bytes.count > 8, bytes[8] == UInt8(ascii: "{"), bytes.count % 2 == 0,
                let end = bytes.indices.dropFirst(8).last(where: { bytes[$0] == UInt8(ascii: "}") })
            {
                bytes.replaceSubrange(..<8, with: ReaderFixtures.littleEndian(UInt64(end - 7)))
            }
            try readAll(
                TensorFile(try directory.write("a.safetensors", bytes), npyTensor: nil))
        }
    }

    @Test func npy() throws {
        let directory = try ReaderFixtures.Directory()
        let sound = [
            ReaderFixtures.npy(descr: "<f4", shape: "(3, 5)", bytes: 60),
            ReaderFixtures.npy(descr: "<f2", shape: "(4,)", bytes: 8),
        ]
        try fuzz("npy", sound) { bytes in
            try readAll(TensorFile(try directory.write("a.npy", bytes), npyTensor: "grad"))
        }
    }

    @Test func metadata() throws {
        let directory = try ReaderFixtures.Directory()
        let fields = [
            Field(name: "source", type: .string), Field(name: "tokens", type: .int),
            Field(name: "score", type: .float), Field(name: "flagged", type: .bool),
        ]
        let sound = [
            "{\"id\":\"a-1\",\"source\":\"alpaca\",\"tokens\":37,\"score\":0.5,\"flagged\":true}\n"
                + "{\"flagged\":false, \"score\":-2, \"id\":7, \"source\":\"\\u00e9\\n\"}\n",
            "{ \"id\" : \"x\" , \"source\" : null }\r\n\n{\"id\":5,\"extra\":[1,{\"a\":2}]}",
        ].map { Array($0.utf8) }
        try fuzz("metadata", sound, isText: true) { bytes in
            let reader = try MetadataReader(
                path: try directory.write("rows.jsonl", bytes), fields: fields)
            while let row = try reader.next() { #expect(row.values.count == 4) }
        }
    }
}
