// Input files: an input is a whole file, or stream, which is read from end to end.

import Foundation
import GradDB
import SystemPackage

/// A safetensors or .npy file.
final class TensorFileTarget: FuzzTarget {
    enum Format: String {
        case safetensors, npy
    }

    private let directory = TemporaryDirectory()
    private let file: InputFile
    private let format: Format

    let expected: Set<GradDBError.Kind> = [.badInput]
    var seeds: [[UInt8]] { format == .npy ? SoundFiles.npy : SoundFiles.safetensors }

    init(_ format: Format) throws {
        self.format = format
        file = InputFile(directory, "input.\(format)")
    }

    /// The header of safetensors, with its length.
    func mutant(of input: [UInt8], _ mutator: inout Mutator) -> [UInt8]? {
        guard format == .safetensors, input.count > 8 else { return nil }
        let length = input.number(at: 0, bytes: 8)
        guard length <= input.count - 8 else { return nil }
        let header = mutator.json(Array(input[8..<8 + Int(length)]))
        return SoundFiles.littleEndian(UInt64(header.count)) + header + input[(8 + Int(length))...]
    }

    func run(_ input: [UInt8]) throws {
        file.write(input)
        let tensors = try TensorFile(file.path, npyTensor: "grad")
        for name in tensors.tensors.keys.sorted() { _ = try? Self.read(name, of: tensors) }
        // Another reader's way: it may know other tensors, and other reasons not to like them.
        let raw = RawRows(tensors)
        for name in tensors.tensors.keys.sorted() { _ = try? raw.tensor(name) }
    }

    static func read(_ name: String, of file: TensorFile) throws {
        let matrix = try file.matrix(name, allowVector: true)
        // Rows of no bytes may be many.
        let rows = 0..<min(matrix.rows, 1_000)
        guard rows.count * matrix.rowBytes <= file.byteCount else {
            report("\(name) is larger than its file")
        }
        var bytes = [UInt8](repeating: 0, count: rows.count * matrix.rowBytes)
        try bytes.withUnsafeMutableBytes { try file.read(tensor: name, rows: rows, into: $0) }
    }
}

/// Messages of safetensors one after the other; and one document whose tensors come in order.
final class StreamTarget: FuzzTarget {
    private let directory = TemporaryDirectory()
    private let file: InputFile

    let expected: Set<GradDBError.Kind> = [.badInput]

    var seeds: [[UInt8]] {
        let messages = SoundFiles.safetensors.map { SoundFiles.littleEndian(UInt64($0.count)) + $0 }
        return messages + [messages.flatMap(\.self)] + SoundFiles.safetensors
    }

    init() throws { file = InputFile(directory, "stream") }

    func run(_ input: [UInt8]) throws {
        file.write(input)
        let descriptor = try FileDescriptor.open(file.path, .readOnly)
        defer { try? descriptor.close() }
        // Messages of more than these bytes go through a file.
        let stream = SafetensorsStream(
            descriptor, name: "a stream", spoolDirectory: directory.path, memoryLimit: 200)
        var isStream = true
        do {
            try Self.readAll(stream)
        } catch let error as GradDBError {
            // What it is not, it may be as one document.
            guard error.kind == .badInput else { throw error }
            isStream = false
        }
        try descriptor.seek(offset: 0, from: .start)
        do {
            try Self.readAll(try TensorStream(descriptor, name: "a document"))
        } catch {
            guard isStream else { throw error }
        }
    }

    private static func readAll(_ document: TensorStream) throws {
        for name in document.order {
            guard let count = document.tensors[name]?.byteCount else { report("no \(name)") }
            // As much as there is: what is said to come need not.
            for start in stride(from: 0, to: count, by: 1 << 16) {
                var bytes = [UInt8](repeating: 0, count: min(1 << 16, count - start))
                try bytes.withUnsafeMutableBytes { try document.next(into: $0) }
            }
        }
    }

    private static func readAll(_ stream: SafetensorsStream) throws {
        while let message = try stream.next() {
            for name in message.tensors.keys.sorted() {
                _ = try? TensorFileTarget.read(name, of: message)
            }
        }
    }
}

/// JSON Lines with the fields of rows; and files of ids.
final class MetadataTarget: FuzzTarget {
    private let directory = TemporaryDirectory()
    private let file: InputFile
    private let fields = [
        Field(name: "source", type: .string), Field(name: "tokens", type: .int),
        Field(name: "score", type: .float), Field(name: "flagged", type: .bool),
    ]

    let expected: Set<GradDBError.Kind> = [.badInput]

    var seeds: [[UInt8]] {
        [
            "{\"id\":\"a-1\",\"source\":\"alpaca\",\"tokens\":37,\"score\":0.5,\"flagged\":true}\n"
                + "{\"flagged\":false, \"score\":-2, \"id\":\"7\", \"source\":\"\\u00e9\\n\"}\n",
            "{ \"id\" : \"x\" , \"source\" : null }\r\n\n{\"id\":\"5\",\"extra\":[1,{\"a\":2}]}",
            "{\"id\":5,\"tokens\":-9223372036854775808,\"score\":1e-300}\n{\"id\":-1}",
        ].map { Array($0.utf8) }
    }

    init() throws { file = InputFile(directory, "rows.jsonl") }

    func mutant(of input: [UInt8], _ mutator: inout Mutator) -> [UInt8]? { mutator.json(input) }

    func run(_ input: [UInt8]) throws {
        file.write(input)
        for type in [FieldType.string, .int] { _ = try? IDFile.ids(path: file.path, type: type) }
        let reader = try MetadataReader(path: file.path, fields: fields)
        while let row = try reader.next() {
            guard row.values.count == fields.count else { report("\(row.values.count) values") }
            for (value, field) in zip(row.values, fields) where value != nil {
                guard value?.type == field.type else { report("\(field.name) is another type") }
            }
        }
    }
}

/// Files written byte by byte, from the formats' own descriptions.
enum SoundFiles {
    static func littleEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        withUnsafeBytes(of: number.littleEndian) { Array($0) }
    }

    private static func pattern(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    }

    static var safetensors: [[UInt8]] {
        let headers: [(String, Int)] = [
            (#"{"grad":{"dtype":"F32","shape":[3,5],"data_offsets":[0,60]}}"#, 60),
            (
                """
                {"a":{"dtype":"F16","shape":[2,4],"data_offsets":[0,16]},\
                "b":{"dtype":"BF16","shape":[2,1,3],"data_offsets":[16,28]},"__metadata__":{"k":"v"}}
                """, 28
            ),
            (
                """
                {"g":{"dtype":"F32","shape":[1,4],"data_offsets":[0,16]},\
                "i":{"dtype":"I64","shape":[2],"data_offsets":[16,32]},\
                "__metadata__":{"graddb.projector.g":"\(projector)"}}  \u{20}
                """, 32
            ),
        ]
        return headers.map { header, bytes in
            littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + pattern(bytes)
        }
    }

    /// As JSON within JSON.
    private static let projector =
        ##"{\"kind\":\"dense\",\"version\":1,\"dims\":4,\"seed\":\"0x1\",\"normalise\":\"none\","##
        + ##"\"tensors\":[{\"name\":\"w\",\"shape\":[2,4]}]}"##

    static var npy: [[UInt8]] {
        func document(_ version: UInt8, _ descr: String, _ shape: String, _ bytes: Int) -> [UInt8] {
            let header = "{'descr': '\(descr)', 'fortran_order': False, 'shape': \(shape), }   \n"
            let count = header.utf8.count
            return [0x93] + Array("NUMPY".utf8) + [version, 0]
                + (version == 1 ? littleEndian(UInt16(count)) : littleEndian(UInt32(count)))
                + Array(header.utf8) + pattern(bytes)
        }
        return [
            document(1, "<f4", "(3, 5)", 60), document(1, "<f2", "(4,)", 8),
            document(2, "<f4", "(1, 1)", 4), document(3, "<f4", "(2, 0)", 0),
        ]
    }
}
