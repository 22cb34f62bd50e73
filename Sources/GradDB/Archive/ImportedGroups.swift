// The row groups of an archive on their way into segments: blocks get the headers of their new place.

final class ImportedGroups {
    private let archive: ArchiveReader
    private let encodings: ArchiveEncodings
    private let table: UInt32
    private let commit: Commit
    private let kernels: KernelSet
    private let threads: Int
    /// One is filled while the other is written.
    private let buffers = [EncodedRowGroup(), EncodedRowGroup()]
    private var buffer = 0
    /// Of the vectors' content, by encoding.
    private(set) var sums: [UInt32: UInt64] = [:]
    /// The record's checkpoint, when that has been looked at.
    private var place: Int?

    // Of the segment that is being written.
    private var segment: UInt64 = 0
    private var checkpoint: UInt32 = 0
    private var checkpointHash: UInt64 = 0
    private var groups = 0
    private var seen = RowSet()
    private var rowCount = 0
    private var lastGroupRows = 0
    private var bytes: [UInt32: UInt64] = [:]

    init(
        _ archive: ArchiveReader, _ encodings: ArchiveEncodings, table: UInt32, _ commit: Commit,
        kernels: KernelSet, threads: Int
    ) {
        self.archive = archive
        self.encodings = encodings
        self.table = table
        self.commit = commit
        self.kernels = kernels
        self.threads = threads
    }

    /// Begins the segment of a checkpoint.
    func begin(_ segment: UInt64, _ checkpoint: CheckpointDocument, _ hash: UInt64) {
        self.segment = segment
        self.checkpoint = checkpoint.checkpoint
        checkpointHash = hash
        groups = 0
        seen = RowSet()
        rowCount = 0
        lastGroupRows = encodings.rowsPerGroup
        bytes = [:]
    }

    /// Which checkpoint the record is of.
    func takePlace() throws -> Int {
        if let place { return place }
        let place = try archive.take(4).withUnsafeBytes {
            Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self)))
        }
        self.place = place
        return place
    }

    /// Takes a record of vectors, and returns how many rows it has.
    ///
    /// - Parameter ids: hashes of the ids of the archive's rows.
    /// - Throws: `.badInput`, `.io`.
    func append(ids: [UInt64]) throws -> Int {
        place = nil
        let count = try archive.take(4).withUnsafeBytes {
            Int(UInt32(littleEndian: $0.loadUnaligned(as: UInt32.self)))
        }
        guard (1...encodings.rowsPerGroup).contains(count),
            lastGroupRows == encodings.rowsPerGroup,
            archive.remaining == encodings.payloadBytes(rows: count) - 8
        else { throw archive.damaged("a row group of another size") }
        let rows = try archive.take(count * 8).withUnsafeBytes { bytes in
            (0..<count).map {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
            }
        }
        for row in rows {
            guard row < UInt64(ids.count), seen.insert(row) else {
                throw archive.damaged("row \(row) comes twice, or is not there")
            }
        }
        let group = buffers[buffer]
        buffer = 1 - buffer
        group.prepare(
            table: table, segment: segment, rowGroup: UInt32(groups), rows: count,
            encodings: encodings.targets)
        try group.forEachArchivedPart { try archive.take(into: $0) }
        try archive.endRecord()
        guard group.hasSoundStatistics else {
            throw archive.damaged("a row whose scale or norm is no number")
        }
        try group.seal(kernels: kernels, threads: threads)
        sums.merge(
            try group.contentSums(
                ids: rows.map { ids[Int($0)] }, checkpoint: checkpointHash, kernels: kernels,
                threads: threads), uniquingKeysWith: &+)
        try commit.append(group)
        commit.batch.put(
            .fields, Keys.rowMap(table: table, segment: segment, rowGroup: UInt32(groups)),
            try RowMap.encode(rows))
        bytes.merge(group.bytesOfEncodings, uniquingKeysWith: +)
        groups += 1
        rowCount += count
        lastGroupRows = count
        return count
    }

    /// The segment; nil where no row came.
    func finish(from snapshot: UInt64) -> SegmentDocument? {
        guard rowCount > 0, let bounds = seen.bounds else { return nil }
        return SegmentDocument(
            segment: segment, checkpoint: checkpoint, rows: rowCount, rowGroups: groups,
            rowsPerGroup: encodings.rowsPerGroup,
            encodings: encodings.targets.map {
                .init(encoding: $0.number, bytes: bytes[$0.number] ?? 0)
            }, firstRow: bounds.lowerBound, lastRow: bounds.upperBound,
            snapshots: SnapshotRanges(from: snapshot))
    }
}
