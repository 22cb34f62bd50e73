// The two files of a pair: what is in the one of records, and the hashes that a journal has of both.

#if canImport(Glibc)
    import Glibc
#endif

/// The records of rows in stored order, each preceded by its length, in one zstd frame.
enum StagedRecords {
    static func append(_ record: RowRecord, to bytes: inout [UInt8]) {
        let encoded = record.encode()
        bytes.append(littleEndian: UInt32(encoded.count))
        bytes.append(contentsOf: encoded)
    }

    /// Calls `body` for every record of a file, after checking that it is the one the journal names.
    static func forEach(
        _ pair: StagedPair, of rank: RankDirectory, fieldCount: Int, kernels: KernelSet,
        _ body: (_ index: Int, RowRecord) throws -> Void
    ) throws {
        let path = rank.recordsPath(pair.file)
        guard let stored = try DurableFiles.read(path) else { throw StagedHash.missing(path) }
        guard UInt64(stored.count) == pair.rowsBytes,
            StagedHash.text(StagedHash.of(stored, kernels)) == pair.rowsXxh3
        else { throw StagedHash.damaged(path) }
        // What has the right hash may be as large as its writer made it.
        let bytes = try stored.withUnsafeBytes {
            try Zstd.decompress($0, what: path, limit: 1 << 36)
        }
        try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes, what: path)
            for index in 0..<pair.rows {
                let record = try reader.take(Int(try reader.integer(UInt32.self)))
                try body(
                    index,
                    try RowRecord(
                        decoding: record, fieldCount: fieldCount, what: "\(path), row \(index)"))
            }
            try reader.expectEnd()
        }
    }
}

/// A hash that large files can be given piece by piece: XXH3-64 of the XXH3-64s, as u64, of their
/// successive MiB.
enum StagedHash {
    private static let pieceBytes = 1 << 20

    static func of(_ bytes: [UInt8], _ kernels: KernelSet) -> UInt64 {
        var hashes: [UInt8] = []
        bytes.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
                let end = min(bytes.count, start + pieceBytes)
                hashes.append(
                    littleEndian: kernels.hash(UnsafeRawBufferPointer(rebasing: bytes[start..<end]))
                )
            }
        }
        return hashes.withUnsafeBytes { kernels.hash($0) }
    }

    /// Of a file, with its size; nil where there is none.
    static func of(
        file path: String, _ kernels: KernelSet, cancellation: Cancellation = Cancellation()
    ) throws -> (bytes: UInt64, hash: UInt64)? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            if errno == ENOENT { return nil }
            throw DurableFiles.failure("read", path)
        }
        defer { close(file) }
        var piece = [UInt8](repeating: 0, count: pieceBytes)
        var hashes: [UInt8] = []
        var total: UInt64 = 0
        while true {
            try cancellation.check()
            let count = try piece.withUnsafeMutableBytes {
                try DurableFiles.fill($0, from: file, path)
            }
            guard count > 0 else { break }
            total += UInt64(count)
            hashes.append(
                littleEndian: piece.withUnsafeBytes {
                    kernels.hash(UnsafeRawBufferPointer(rebasing: $0[..<count]))
                })
        }
        return (total, hashes.withUnsafeBytes { kernels.hash($0) })
    }

    static func text(_ hash: UInt64) -> String { Catalog.Key.hex(hash) }

    static func missing(_ path: String) -> GradDBError {
        .corrupt(
            "\(path) is missing; restore the file, or abandon the staged ingest and write it again")
    }

    static func damaged(_ path: String) -> GradDBError {
        .corrupt(
            "\(path) is not what was written; restore the file, or abandon the staged ingest and "
                + "write it again")
    }
}
