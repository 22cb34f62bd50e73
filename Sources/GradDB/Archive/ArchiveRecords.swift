// The records of an archive, as they are in its zstd frame:
//
//   kind u8 · payload bytes u64 · payload · checksum u64

enum ArchiveRecord: UInt8 {
    case head = 1
    case rows, vectors, end

    /// Largest payload of a record that is taken into memory whole.
    static let largestBytes: UInt64 = 64 << 20

    fileprivate func prefix(bytes: UInt64) -> [UInt8] {
        var prefix = [rawValue]
        prefix.append(littleEndian: bytes)
        return prefix
    }
}

/// The checksum of a record whose bytes come bit by bit.
private struct RecordHash {
    private var hash: PieceHash
    private var piece: [UInt8] = []

    init(_ kernels: KernelSet) {
        hash = PieceHash(kernels)
        piece.reserveCapacity(PieceHash.pieceBytes)
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        var rest = bytes[...]
        while !rest.isEmpty {
            if piece.isEmpty, rest.count >= PieceHash.pieceBytes {
                hash.append(UnsafeRawBufferPointer(rebasing: rest.prefix(PieceHash.pieceBytes)))
                rest = rest.dropFirst(PieceHash.pieceBytes)
                continue
            }
            let count = min(rest.count, PieceHash.pieceBytes - piece.count)
            piece.append(contentsOf: UnsafeRawBufferPointer(rebasing: rest.prefix(count)))
            rest = rest.dropFirst(count)
            if piece.count == PieceHash.pieceBytes { flush() }
        }
    }

    private mutating func flush() {
        piece.withUnsafeBytes { hash.append($0) }
        piece.removeAll(keepingCapacity: true)
    }

    mutating func finish() -> UInt64 {
        flush()
        return hash.value
    }
}

final class ArchiveWriter {
    private let frame: ZstdFrameWriter
    private let kernels: KernelSet
    private(set) var recordCount = 0
    /// Bytes of payloads.
    private(set) var byteCount: UInt64 = 0

    init(
        threads: Int, kernels: KernelSet, sink: @escaping (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        frame = try ZstdFrameWriter(threads: threads, sink: sink)
        self.kernels = kernels
    }

    /// Writes a record; `body` hands out `bytes` bytes of payload, in parts.
    func append(
        _ kind: ArchiveRecord, bytes: UInt64,
        _ body: (_ part: (UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws {
        var hash = RecordHash(kernels)
        func put(_ part: UnsafeRawBufferPointer) throws {
            hash.append(part)
            try frame.append(part)
        }
        try kind.prefix(bytes: bytes).withUnsafeBytes(put)
        var done: UInt64 = 0
        try body { part in
            done += UInt64(part.count)
            try put(part)
        }
        guard done == bytes else {
            throw GradDBError(.failed, "a record of \(done) bytes was announced with \(bytes)")
        }
        var checksum: [UInt8] = []
        checksum.append(littleEndian: hash.finish())
        try checksum.withUnsafeBytes { try frame.append($0) }
        recordCount += 1
        byteCount += bytes
    }

    func append(_ kind: ArchiveRecord, _ payload: [UInt8]) throws {
        try append(kind, bytes: UInt64(payload.count)) { try payload.withUnsafeBytes($0) }
    }

    func finish() throws { try frame.finish() }
}

final class ArchiveReader {
    private let frame: ZstdFrameReader
    private let kernels: KernelSet
    private var hash: RecordHash
    /// Of the record's payload, not taken yet.
    private(set) var remaining: UInt64 = 0
    private(set) var recordCount = 0
    let what: String

    init(
        what: String, kernels: KernelSet,
        source: @escaping (UnsafeMutableRawBufferPointer) throws -> Int
    ) throws {
        frame = try ZstdFrameReader(what: what, source: source)
        self.kernels = kernels
        self.what = what
        hash = RecordHash(kernels)
    }

    func damaged(_ reason: String) -> GradDBError {
        .badInput("\(what) is damaged, or not an archive: \(reason)")
    }

    /// Begins the next record.
    ///
    /// - Throws: `.badInput`, what the source throws.
    func next() throws -> ArchiveRecord {
        hash = RecordHash(kernels)
        remaining = 9
        let prefix = try take(9)
        remaining = prefix.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 1, as: UInt64.self))
        }
        guard let kind = ArchiveRecord(rawValue: prefix[0]) else {
            throw damaged("a record of kind \(prefix[0])")
        }
        return kind
    }

    /// Takes the next bytes of the payload.
    func take(into buffer: UnsafeMutableRawBufferPointer) throws {
        guard UInt64(buffer.count) <= remaining else { throw damaged("a record that is too short") }
        guard try frame.read(into: buffer) == buffer.count else {
            throw GradDBError.badInput("\(what) is cut off")
        }
        hash.append(UnsafeRawBufferPointer(buffer))
        remaining -= UInt64(buffer.count)
    }

    func take(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try take(into: $0) }
        return bytes
    }

    /// Takes the whole payload of a record that is small, and ends the record.
    func takeAll() throws -> [UInt8] {
        guard remaining <= ArchiveRecord.largestBytes else {
            throw damaged("a record of \(remaining) bytes")
        }
        // Piece by piece: what is claimed need not come.
        var payload: [UInt8] = []
        while remaining > 0 {
            payload += try take(Int(min(remaining, UInt64(PieceHash.pieceBytes))))
        }
        try endRecord()
        return payload
    }

    /// Verifies the checksum of the record.
    func endRecord() throws {
        guard remaining == 0 else { throw damaged("a record that is too long") }
        let expected = hash.finish()
        var stored: UInt64 = 0
        let count = try withUnsafeMutableBytes(of: &stored) { try frame.read(into: $0) }
        guard count == 8 else { throw GradDBError.badInput("\(what) is cut off") }
        guard UInt64(littleEndian: stored) == expected else {
            throw damaged("a record fails its checksum")
        }
        recordCount += 1
    }

    /// Makes sure that nothing follows.
    func expectEnd() throws { try frame.expectEnd() }
}
