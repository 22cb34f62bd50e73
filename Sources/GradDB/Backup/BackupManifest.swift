// The manifest of a backup: JSON Lines, the last of which has the checksum of all before it.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

/// What a backup holds, beside its objects.
package struct BackupManifest: Sendable {
    package struct TableState: Codable, Equatable, Sendable {
        package var table: String
        package var snapshot: UInt64
        package var rows: UInt64
    }

    /// The first line.
    package struct Head: Codable, Equatable, Sendable {
        static let formatName = "graddb-backup"
        static let currentVersion = 1
        var format = Self.formatName
        var formatVersion = Self.currentVersion
        package var backup: UInt64
        package var time: String
        /// When the database was made.
        var database: String
        /// Where it was.
        package var source: String
        var databaseVersion: Int
        var readerFeatures: [String]
        var writerFeatures: [String]
        package var tables: [TableState]
    }

    struct ObjectLine: Codable {
        var object: String
        var bytes: UInt64
        var checksum: String
    }

    /// The line after the objects.
    package struct Summary: Codable, Equatable, Sendable {
        package var objects: Int
        package var bytes: UInt64
        package var copiedObjects: Int
        package var copiedBytes: UInt64
        package var seconds: Double
    }

    /// The last line, by the checksum of all before it.
    private static func lastLine(_ checksum: UInt64) -> [UInt8] {
        Array(#"{"checksum":"\#(Catalog.Key.hex(checksum))"}"#.utf8)
    }

    package let head: Head
    package let summary: Summary

    /// No line of ours is longer, and no reader takes a longer one into memory.
    static let longestLineBytes = 16 << 20

    // MARK: writing

    /// Writes a manifest, whole and durable.
    static func write(
        _ head: Head, _ objects: [StoredObject], _ summary: Summary, in directory: BackupDirectory,
        limits: FileLimits
    ) throws {
        let kernels = try KernelSet.chosen()
        var bytes = try DocumentJSON.encode(head)
        bytes.append(UInt8(ascii: "\n"))
        guard bytes.count < longestLineBytes else {
            throw GradDBError(.failed, "the database has too many tables for a backup")
        }
        for object in objects {
            let checksum = Catalog.Key.hex(object.checksum)
            bytes.append(
                contentsOf: """
                    {"object":"\(object.name)","bytes":\(object.bytes),"checksum":"\(checksum)"}

                    """.utf8)
        }
        bytes += try DocumentJSON.encode(summary) + [UInt8(ascii: "\n")]
        var hash = PieceHash(kernels)
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count, by: PieceHash.pieceBytes) {
                let end = min(bytes.count, start + PieceHash.pieceBytes)
                hash.append(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
            }
        }
        bytes += lastLine(hash.value) + [UInt8(ascii: "\n")]
        try limits.cancellation.check()
        let path = directory.manifestPath(head.backup)
        let partial = directory.partialPath + "/manifest"
        try DurableFiles.write(bytes, to: partial)
        guard rename(partial, path) == 0 else { throw DurableFiles.failure("make", path) }
        try DurableFiles.syncDirectory(directory.manifestsPath)
    }

    // MARK: reading

    /// Reads and verifies the manifest of a backup. What `object` was called with may be believed
    /// when this returns.
    ///
    /// - Throws: `.corrupt`, `.formatTooNew`, `.io`, what `object` throws.
    init(
        _ number: UInt64, in directory: BackupDirectory,
        object: (StoredObject) throws -> Void = { _ in }
    ) throws {
        let path = directory.manifestPath(number)
        let damaged = GradDBError.corrupt("the manifest \(path) is not what was written")
        let lines = try ManifestLines(path)
        var head: Head?
        var summary: Summary?
        var isWhole = false
        var objects = 0
        var bytes: UInt64 = 0
        do {
            while let line = try lines.next() {
                if head == nil {
                    let read: Head = try Self.decode(line)
                    guard read.format == Head.formatName else { throw damaged }
                    head = read
                } else if line.starts(with: Self.objectStart) {
                    let stored = try Self.object(line, damaged)
                    objects += 1
                    bytes &+= stored.bytes
                    try object(stored)
                } else if summary == nil {
                    summary = try Self.decode(line)
                } else {
                    isWhole = line == Self.lastLine(lines.checksumBeforeLastLine)
                    break
                }
            }
        } catch let error as GradDBError where error.kind == .corrupt {
            throw damaged
        }
        guard let head, let summary, isWhole, try lines.next() == nil, summary.objects == objects,
            summary.bytes == bytes, head.backup == number
        else { throw damaged }
        guard head.formatVersion <= Head.currentVersion else {
            throw GradDBError(
                .formatTooNew,
                "\(path) has format version \(head.formatVersion): use a newer gradctl")
        }
        self.head = head
        self.summary = summary
    }

    private static let objectStart = Array(#"{"object":"#.utf8)

    private static func decode<D: Decodable>(_ line: [UInt8]) throws -> D {
        try line.withUnsafeBytes { try DocumentJSON.decode($0, what: "a manifest") }
    }

    /// More than any object has, and so little that no manifest's objects together overflow.
    private static let mostObjectBytes: UInt64 = 1 << 40

    private static func object(_ line: [UInt8], _ damaged: GradDBError) throws -> StoredObject {
        let read: ObjectLine = try decode(line)
        guard let name = ObjectName(read.object), read.checksum.utf8.count == 16,
            read.bytes <= mostObjectBytes,
            let checksum = UInt64(read.checksum, radix: 16)
        else { throw damaged }
        return StoredObject(name: name, bytes: read.bytes, checksum: checksum)
    }
}

/// The lines of a file, with the checksum of what came before the line given last.
private final class ManifestLines {
    private let path: String
    private let descriptor: Int32
    private var hash: PieceHash
    /// What was read, but for the MiBs that were hashed.
    private var buffer: [UInt8] = []
    /// Where in `buffer` the next line begins, and the one given last.
    private var start = 0
    private var lastStart = 0
    private var isAtEnd = false

    init(_ path: String) throws {
        self.path = path
        hash = PieceHash(try KernelSet.chosen())
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            if errno == ENOENT { throw GradDBError.corrupt("the manifest \(path) is missing") }
            throw DurableFiles.failure("read", path)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The next line, without its end; nil after the last one.
    ///
    /// - Throws: `.corrupt` for a line that is too long or has no end.
    func next() throws -> [UInt8]? {
        dropPieces()
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                lastStart = start
                start = end + 1
                return Array(buffer[lastStart..<end])
            }
            searched = buffer.count
            guard !isAtEnd else {
                guard start == buffer.count else {
                    throw GradDBError.corrupt("\(path) is cut off")
                }
                return nil
            }
            guard buffer.count - start < BackupManifest.longestLineBytes else {
                throw GradDBError.corrupt("\(path) has a line that is too long")
            }
            try read()
        }
    }

    /// Hashes and forgets full pieces before the line given last.
    private func dropPieces() {
        while lastStart >= PieceHash.pieceBytes {
            buffer.withUnsafeBytes {
                hash.append(UnsafeRawBufferPointer(rebasing: $0[..<PieceHash.pieceBytes]))
            }
            buffer.removeFirst(PieceHash.pieceBytes)
            start -= PieceHash.pieceBytes
            lastStart -= PieceHash.pieceBytes
        }
    }

    private func read() throws {
        let count = 256 << 10
        var more = [UInt8](repeating: 0, count: count)
        let got = try more.withUnsafeMutableBytes {
            try DurableFiles.fill($0, from: descriptor, path)
        }
        if got < count { isAtEnd = true }
        buffer.append(contentsOf: more[..<got])
    }

    /// Of all bytes before the line that `next` gave last.
    var checksumBeforeLastLine: UInt64 {
        var hash = hash
        buffer.withUnsafeBytes {
            var from = 0
            while from < lastStart {
                let to = min(lastStart, from + PieceHash.pieceBytes)
                hash.append(UnsafeRawBufferPointer(rebasing: $0[from..<to]))
                from = to
            }
        }
        return hash.value
    }
}
