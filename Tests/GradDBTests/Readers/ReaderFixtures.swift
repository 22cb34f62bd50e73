// Input files written byte by byte, from the formats' own descriptions and not with our code.

import Foundation
import GradDB
import Testing

enum ReaderFixtures {
    /// A directory that goes away with the object.
    final class Directory: Sendable {
        let path: String

        init() throws {
            path = FileManager.default.temporaryDirectory.path + "/graddb-readers-\(UUID())"
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true)
        }

        deinit {
            try? FileManager.default.removeItem(atPath: path)
        }

        /// Writes a file and returns its path.
        @discardableResult
        func write(_ name: String, _ bytes: [UInt8]) throws -> String {
            let file = path + "/" + name
            // Data.write would wait for the disk, a thousand times in one test.
            let stream = try #require(fopen(file, "w"))
            defer { fclose(stream) }
            try #require(fwrite(bytes, 1, bytes.count, stream) == bytes.count)
            return file
        }

        @discardableResult
        func write(_ name: String, _ text: String) throws -> String {
            try write(name, Array(text.utf8))
        }
    }

    static func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    /// `count` bytes that tell where they stand.
    static func pattern(_ count: Int, from first: Int = 0) -> [UInt8] {
        (first..<first + count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 / 256) }
    }

    static func safetensors(header: String, data: [UInt8]) -> [UInt8] {
        littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + data
    }

    /// One tensor called `grad` of the right size.
    static func safetensors(dtype: String, shape: [Int], elementBytes: Int) -> [UInt8] {
        let count = shape.reduce(elementBytes, *)
        return safetensors(
            header: "{\"grad\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),"
                + "\"data_offsets\":[0,\(count)]}}",
            data: pattern(count))
    }

    /// An .npy document; `version` 1 has a short length of its header, 2 and 3 a long one.
    static func npy(version: UInt8 = 1, header: String, data: [UInt8]) -> [UInt8] {
        let count = header.utf8.count
        let length = version == 1 ? littleEndian(UInt16(count)) : littleEndian(UInt32(count))
        return [0x93] + Array("NUMPY".utf8) + [version, 0] + length + Array(header.utf8) + data
    }

    static func npy(descr: String, shape: String, isFortran: Bool = false, bytes: Int) -> [UInt8] {
        let order = isFortran ? "True" : "False"
        return npy(
            header: "{'descr': '\(descr)', 'fortran_order': \(order), 'shape': \(shape), }   \n",
            data: pattern(bytes))
    }

    /// What `body` throws, which must be a GradDBError; a failed expectation where it is not.
    static func failure(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
    ) -> GradDBError {
        do {
            try body()
        } catch let error as GradDBError {
            return error
        } catch {
            Issue.record("threw \(error)", sourceLocation: sourceLocation)
            return GradDBError(.failed, "")
        }
        Issue.record("nothing was thrown", sourceLocation: sourceLocation)
        return GradDBError(.failed, "")
    }

    /// The seed of random tests: GRADDB_TEST_SEED where it is set, so that a failure can be had
    /// again, else a new one, printed.
    static func seed(_ test: String) -> UInt64 {
        let given = ProcessInfo.processInfo.environment["GRADDB_TEST_SEED"].flatMap { UInt64($0) }
        let seed = given ?? UInt64.random(in: .min ... .max)
        print("random changes of \(test): GRADDB_TEST_SEED=\(seed)")
        return seed
    }

    /// A buffer's worth of bytes that `body` fills.
    static func filled(
        _ count: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Void
    ) rethrows -> [UInt8] {
        var bytes = [UInt8](repeating: 0xEE, count: count)
        try bytes.withUnsafeMutableBytes { try body($0) }
        return bytes
    }
}

extension ReaderFixtures {
    /// A malformed input, what it is, and a piece of the message that must name the fault.
    struct MalformedInput: CustomTestStringConvertible, Sendable {
        let what: String
        let bytes: [UInt8]
        let message: String

        init(_ what: String, _ bytes: [UInt8], _ message: String) {
            self.what = what
            self.bytes = bytes
            self.message = message
        }

        var testDescription: String { what }
    }
}
