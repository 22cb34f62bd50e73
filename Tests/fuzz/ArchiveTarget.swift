// Archives: an input is imported into a database that is empty. What is taken must be sound, and give
// the same archive again.
//
//   0  kind   1 … kind 0: the file; else its records, without zstd
//
// Of records the checksums are made right, and in the head the hash of what they hold.

import Foundation
import GradDB

final class ArchiveTarget: FuzzTarget {
    private enum Kind: UInt8 {
        case file, records, otherRecords, moreRecords
    }

    private let source: TestDatabase
    private let kernels: KernelSet
    private let file: [UInt8]
    private let records: [UInt8]
    /// Empty, until something is imported.
    private var scratch: TestDatabase
    private var writer: DatabaseWriter?

    let expected: Set<GradDBError.Kind> = [.badInput, .formatTooNew]
    var seeds: [[UInt8]] { [[Kind.file.rawValue] + file, [Kind.records.rawValue] + records] }

    init() throws {
        kernels = try KernelSet.chosen()
        source = try SmallDatabase.everything()
        scratch = try TestDatabase()
        var file: [UInt8] = []
        _ = try Archive.export(try source.table("t").newest, threads: 1) { file += $0 }
        self.file = file
        records = try Self.decompressed(file)
    }

    /// The head, with its length.
    func mutant(of input: [UInt8], _ mutator: inout Mutator) -> [UInt8]? {
        guard input.count > 10, input[0] & 3 != 0, mutator.below(2) == 0 else { return nil }
        let count = input.number(at: 2, bytes: 8)
        guard count <= input.count - 10 else { return nil }
        let end = 10 + Int(count)
        let head = mutator.json(Array(input[10..<end]))
        return input[..<2] + SoundFiles.littleEndian(UInt64(head.count)) + head + input[end...]
    }

    func run(_ input: [UInt8]) throws {
        guard let first = input.first else { return }
        let bytes = Array(input[1...])
        if Kind(rawValue: first & 3) == .file { return try take(bytes) }
        var records = bytes
        seal(&records)
        do {
            try take(try Self.compressed(records))
        } catch let error as GradDBError where error.kind == .badInput {
            // A head that knows the hash of what was made of the rest.
            guard let hash = Self.hash(in: error.message),
                let place = Self.place(of: #""hash":""#, in: records), place + 16 <= records.count
            else { throw error }
            records.replaceSubrange(place..<place + 16, with: hash)
            seal(&records)
            try take(try Self.compressed(records))
        }
    }

    private func take(_ archive: [UInt8]) throws {
        var rest = archive[...]
        let writer = try self.writer ?? DatabaseWriter(path: scratch.path)
        self.writer = writer
        let result = try writer.importArchive(
            "an archive", as: nil, message: "", threads: 1,
            source: { buffer in
                let part = rest.prefix(buffer.count)
                buffer.copyBytes(from: part)
                rest = rest.dropFirst(part.count)
                return part.count
            })
        self.writer = nil
        let database = try Database(path: scratch.path)
        let problems = try Check(database, deep: true, threads: 1).run().problems
        guard problems.isEmpty else { report("what was imported is damaged: \(problems)") }
        var size = 0
        let again = try Archive.export(try database.table(result.table).newest, threads: 1) {
            size += $0.count
        }
        guard again.hash == result.hash, again.rows == result.rows,
            again.vectors == result.vectors, size > 0
        else { report("what was imported is exported as something else") }
        scratch = try TestDatabase()
    }

    // MARK: records and frames

    /// Makes the checksums of the records right, as far as they follow each other.
    private func seal(_ bytes: inout [UInt8]) {
        var start = 0
        while bytes.count - start >= 17 {
            let count = bytes.number(at: start + 1, bytes: 8)
            guard count <= bytes.count - start - 17 else { return }
            let end = start + 9 + Int(count)
            var hashes: [UInt8] = []
            for piece in stride(from: start, to: end, by: 1 << 20) {
                let hash = bytes[piece..<min(end, piece + 1 << 20)].withUnsafeBytes {
                    kernels.hash($0)
                }
                hashes += SoundFiles.littleEndian(hash)
            }
            bytes.put(hashes.withUnsafeBytes { kernels.hash($0) }, at: end)
            start = end + 8
        }
    }

    private static func compressed(_ bytes: [UInt8]) throws -> [UInt8] {
        var frame: [UInt8] = []
        let writer = try ZstdFrameWriter(threads: 1) { frame += $0 }
        try bytes.withUnsafeBytes { try writer.append($0) }
        try writer.finish()
        return frame
    }

    private static func decompressed(_ frame: [UInt8]) throws -> [UInt8] {
        var rest = frame[...]
        let reader = try ZstdFrameReader(what: "an archive") { buffer in
            let part = rest.prefix(buffer.count)
            buffer.copyBytes(from: part)
            rest = rest.dropFirst(part.count)
            return part.count
        }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = try bytes.withUnsafeMutableBytes { try reader.read(into: $0) }
        return Array(bytes[..<count])
    }

    /// What the engine says that the hash should be.
    private static func hash(in message: String) -> [UInt8]? {
        let start = "its content has hash "
        guard let place = place(of: start, in: Array(message.utf8)) else { return nil }
        return Array(message.utf8.dropFirst(place).prefix(16))
    }

    /// Where a text ends.
    private static func place(of text: String, in bytes: [UInt8]) -> Int? {
        let text = Array(text.utf8)
        guard bytes.count >= text.count else { return nil }
        return (0...bytes.count - text.count).first { bytes[$0...].starts(with: text) }
            .map { $0 + text.count }
    }
}
