// Makes a table of an archive, as one commit, or changes nothing. The steps are those of an ingest, in
// format-spec/commit.md, with the table itself among what is published:
//
//   reserve -> register rows, fill row groups, write table files -> attach -> compare hashes -> publish

package struct ArchiveImportResult: Sendable {
    package var table: String
    package var snapshot: UInt64
    package var rows: UInt64
    package var vectors: Int
    package var checkpoints: Int
    /// Of blocks.
    package var bytes: UInt64
    package var hash: String
    package var seconds: Double
}

extension DatabaseWriter {
    /// Imports an archive as a new table.
    ///
    /// - Parameters:
    ///   - what: what errors call the archive.
    ///   - name: the table's; nil takes the archive's.
    ///   - source: fills a buffer and returns with how many bytes; 0 at the end.
    ///   - progress: told now and then how much is done, of 1.
    /// - Throws: `.badInput` for an archive that is damaged, cut off or none; `.usage` for a name that
    ///   no table can have; `.failed` where there is a table of that name; `.formatTooNew`,
    ///   `.interrupted`, `.io`.
    package func importArchive(
        _ what: String, as name: String?, message: String, threads: Int,
        cancellation: Cancellation = Cancellation(),
        source: @escaping (UnsafeMutableRawBufferPointer) throws -> Int,
        progress: @escaping (Double) -> Void = { _ in }
    ) throws -> ArchiveImportResult {
        let started = ContinuousClock.now
        if let name { try TableSchema.validate(name: name, of: "table") }
        let archive = try ArchiveReader(
            what: what, kernels: try KernelSet.chosen(), source: source)
        let head = try archive.head()
        let tableName = name ?? head.table
        guard
            try catalog.document(Catalog.Key.table(tableName), as: TableDocument.self) == nil
        else {
            throw GradDBError(
                .failed,
                "there is a table '\(tableName)' in the database \(path) already; choose another "
                    + "name with --as")
        }
        let document = try head.schema(table: try counters().nextTable, name: tableName)
        let table = try archive.believing { try Table(document, in: store) }
        let importing = try ArchiveImport(
            archive, head, table, message: message, threads: threads, cancellation: cancellation,
            progress: progress)
        var result = try withCommit(
            to: table, segments: head.checkpoints.count, cancellation: cancellation
        ) { commit in
            let (next, result) = try importing.run(commit)
            var counters = try self.counters()
            counters.nextTable += 1
            try commit.batch.put(Catalog.Key.counters, document: counters)
            try commit.batch.put(Catalog.Key.table(tableName), document: document)
            for tag in head.tags {
                try commit.batch.put(
                    Catalog.Key.tag(document.table, tag),
                    document: TagDocument(snapshot: next.number))
            }
            try cancellation.check()
            try commit.publish(next)
            return result
        }
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }
}

private final class ArchiveImport {
    private let archive: ArchiveReader
    private let head: ArchiveHead
    private let table: Table
    private let message: String
    private let threads: Int
    private let cancellation: Cancellation
    private let progress: (Double) -> Void
    private let kernels: KernelSet
    private let content: ContentHash
    private let encodings: ArchiveEncodings
    /// Of the ids, by row: a part of the hash of each vector.
    private var ids: [UInt64] = []
    private var vectors = 0

    init(
        _ archive: ArchiveReader, _ head: ArchiveHead, _ table: Table, message: String,
        threads: Int, cancellation: Cancellation, progress: @escaping (Double) -> Void
    ) throws {
        self.archive = archive
        self.head = head
        self.table = table
        self.message = message
        self.threads = threads
        self.cancellation = cancellation
        self.progress = progress
        kernels = try KernelSet.chosen()
        content = ContentHash(kernels)
        encodings = try ArchiveEncodings(try table.newest, kernels: kernels)
    }

    func run(_ commit: Commit) throws -> (NextSnapshot, ArchiveImportResult) {
        var next = try NextSnapshot(
            of: table, .import, message: message.isEmpty ? head.message : message, tag: nil)
        next.checkpoints = try checkpoints(from: next.number)
        next.head.nextCheckpoint = UInt32(next.checkpoints.count)
        var record = try readRows(commit, &next)
        let groups = ImportedGroups(
            archive, encodings, table: table.document.table, commit, kernels: kernels,
            threads: threads)
        for (index, checkpoint) in next.checkpoints.enumerated() {
            let segment = commit.segments.lowerBound + UInt64(index)
            groups.begin(segment, checkpoint, content.checkpoint(checkpoint.name))
            while record == .vectors, try groups.takePlace() == index {
                try cancellation.check()
                vectors += try groups.append(ids: ids)
                record = try archive.next()
                progress(Double(vectors) / Double(max(1, head.totalVectors)))
            }
            let made = groups.finish(from: next.number)
            guard made?.rows ?? 0 == head.checkpoints[index].rows else {
                throw archive.damaged("vectors of checkpoint \(index) are missing")
            }
            if let made { next.segments.append(made) }
        }
        next.sums.encodings.merge(groups.sums, uniquingKeysWith: &+)
        try expectEnd(record)
        let hash = next.sums.hash(
            layers: table.layers, in: next.number, checkpoints: next.checkpoints, kernels)
        guard hash == head.hash else {
            throw archive.damaged("its content has hash \(hash), and should have \(head.hash)")
        }
        try cancellation.check()
        try commit.attach()
        return (
            next,
            ArchiveImportResult(
                table: table.name, snapshot: next.number, rows: next.head.nextRow,
                vectors: vectors, checkpoints: next.checkpoints.count,
                bytes: next.segments.reduce(0) { $0 + $1.bytes }, hash: hash, seconds: 0)
        )
    }

    private func checkpoints(from snapshot: UInt64) throws -> [CheckpointDocument] {
        var names: Set<[UInt8]> = []
        return try head.checkpoints.enumerated().map { index, part in
            guard names.insert(Array(part.name.utf8)).inserted else {
                throw archive.damaged("checkpoint '\(part.name)' comes twice")
            }
            let made = try archive.believing {
                try table.newest.checkpoint(
                    toAddTo: part.name, step: part.step, weight: part.weight)
            }
            return CheckpointDocument(
                checkpoint: UInt32(index), name: made.name, step: made.step, weight: made.weight,
                snapshots: SnapshotRanges(from: snapshot))
        }
    }

    private func expectEnd(_ record: ArchiveRecord) throws {
        guard record == .end else { throw archive.damaged("a record that is out of place") }
        let records = archive.recordCount
        let payload = try archive.takeAll()
        let end: ArchiveEnd = try archive.believing {
            try payload.withUnsafeBytes { try DocumentJSON.decode($0, what: "its end") }
        }
        guard end == ArchiveEnd(records: records, rows: head.rows, vectors: vectors) else {
            throw archive.damaged("it has not what its end says")
        }
        try archive.expectEnd()
    }

    // MARK: rows

    /// Registers all rows, and returns the kind of the record behind them.
    private func readRows(_ commit: Commit, _ next: inout NextSnapshot) throws -> ArchiveRecord {
        // A checkpoint without a vector: rows are registered once, whatever they have vectors at.
        let nowhere = CheckpointDocument(
            checkpoint: .max, name: "", step: nil, weight: nil,
            snapshots: SnapshotRanges(from: next.number))
        let registry = try RowRegistry(
            try table.newest, checkpoint: nowhere, batch: commit.batch, kernels: kernels,
            willSpill: { try commit.announceSpill() })
        var record = try archive.next()
        while record == .rows {
            try cancellation.check()
            let payload = try archive.takeAll()
            try payload.withUnsafeBytes { try register($0, registry) }
            record = try archive.next()
        }
        guard UInt64(ids.count) == head.rows else { throw archive.damaged("rows are missing") }
        try registry.finish()
        next.head.nextRow = registry.nextRow
        next.head.idType = registry.idType
        next.sums.records = registry.recordSum
        return record
    }

    private func register(_ payload: UnsafeRawBufferPointer, _ registry: RowRegistry) throws {
        var reader = ByteReader(payload, what: archive.what)
        while reader.remaining > 0 {
            let place = "\(archive.what), row \(ids.count)"
            let record = try archive.believing {
                let bytes = try reader.take(Int(try reader.integer(UInt32.self)))
                return try RowRecord(decoding: bytes, fieldCount: table.fields.count, what: place)
            }
            guard record.fits(table.fields) else {
                throw archive.damaged("row \(ids.count) does not fit the fields")
            }
            guard
                case .accepted = try registry.register(
                    record.id, values: record.values, place: place)
            else { throw archive.damaged("id \(record.id) comes twice") }
            ids.append(content.id(record.id))
        }
    }
}

extension RowRecord {
    /// Whether it is of a table with these fields.
    fileprivate func fits(_ fields: [Field]) -> Bool {
        if case .string(let text) = id,
            !(1...RowID.longestStringBytes).contains(text.utf8.count)
        {
            return false
        }
        return zip(values, fields).allSatisfy { value, field in
            guard let value else { return true }
            if case .float(let number) = value, !number.isFinite { return false }
            return value.type == field.type
        }
    }
}

extension ArchiveReader {
    /// Takes the head, which comes first.
    ///
    /// - Throws: `.badInput`, `.formatTooNew`.
    func head() throws -> ArchiveHead {
        guard try next() == .head else { throw damaged("it does not begin with its head") }
        let payload = try takeAll()
        struct Version: Decodable {
            var format: String
            var formatVersion: Int
        }
        let version: Version = try believing {
            try payload.withUnsafeBytes { try DocumentJSON.decode($0, what: "its head") }
        }
        guard version.format == ArchiveHead.formatName else {
            throw damaged("it is something else")
        }
        guard version.formatVersion <= ArchiveHead.currentVersion else {
            throw GradDBError(
                .formatTooNew,
                "\(what) has format version \(version.formatVersion): use a newer gradctl")
        }
        let head: ArchiveHead = try believing {
            try payload.withUnsafeBytes { try DocumentJSON.decode($0, what: "its head") }
        }
        for tag in head.tags {
            try believing { try TableSchema.validate(name: tag, of: "tag") }
        }
        guard head.checkpoints.count <= 1 << 24, head.checkpoints.allSatisfy({ $0.rows >= 0 }),
            head.hash.utf8.count == 16
        else { throw damaged("its head is malformed") }
        return head
    }

    /// Runs what reads the archive, and nothing else: what is corrupt there is bad input.
    func believing<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as GradDBError where error.kind == .corrupt || error.kind == .usage {
            throw damaged(error.message)
        }
    }
}
