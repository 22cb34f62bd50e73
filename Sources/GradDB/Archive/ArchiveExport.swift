// Writes one snapshot of a table as an archive: its rows, then the vectors of each checkpoint in full
// row groups, without what is deleted. One row group is in memory.

package struct ArchiveExportResult: Sendable {
    package var snapshot: UInt64
    package var rows: UInt64
    package var vectors: Int
    /// Of rows and vectors, before compression.
    package var bytes: UInt64
    package var hash: String
}

package enum Archive {
    /// Exports a snapshot.
    ///
    /// - Parameters:
    ///   - sink: takes the archive, piece by piece.
    ///   - progress: told now and then how much is done, of 1.
    /// - Throws: `.corrupt`, `.interrupted`, `.io`, what the sink throws.
    package static func export(
        _ view: TableView, threads: Int, cancellation: Cancellation = Cancellation(),
        to sink: @escaping (UnsafeRawBufferPointer) throws -> Void,
        progress: @escaping (Double) -> Void = { _ in }
    ) throws -> ArchiveExportResult {
        let export = try ArchiveExport(
            view, threads: threads, cancellation: cancellation, sink: sink, progress: progress)
        return try export.run()
    }
}

private final class ArchiveExport {
    private let view: TableView
    private let threads: Int
    private let cancellation: Cancellation
    private let progress: (Double) -> Void
    private let kernels: KernelSet
    private let encodings: ArchiveEncodings
    private let archive: ArchiveWriter
    private let live: RowSet
    private let ranks: RowRanks
    private var vectors = 0

    init(
        _ view: TableView, threads: Int, cancellation: Cancellation,
        sink: @escaping (UnsafeRawBufferPointer) throws -> Void,
        progress: @escaping (Double) -> Void
    ) throws {
        self.view = view
        self.threads = threads
        self.cancellation = cancellation
        self.progress = progress
        kernels = try KernelSet.chosen()
        encodings = try ArchiveEncodings(view, kernels: kernels)
        archive = try ArchiveWriter(threads: threads, kernels: kernels, sink: sink)
        live = try view.liveRows ?? RowSet.all(below: view.rowLimit)
        ranks = RowRanks(live)
    }

    func run() throws -> ArchiveExportResult {
        let hash =
            view.document?.hash
            ?? ContentSums().hash(
                layers: view.table.layers, in: view.snapshot, checkpoints: [], kernels)
        let head = ArchiveHead(
            view,
            checkpointRows: try view.archivedCheckpoints.map { try view.rowCount(of: $0) },
            hash: hash)
        try archive.append(.head, try DocumentJSON.encode(head))
        try writeRows()
        for (index, checkpoint) in view.archivedCheckpoints.enumerated() {
            try writeVectors(of: checkpoint, index: UInt32(index), total: head.totalVectors)
        }
        try archive.append(
            .end,
            try DocumentJSON.encode(
                ArchiveEnd(records: archive.recordCount, rows: head.rows, vectors: vectors)))
        try cancellation.check()
        try archive.finish()
        return ArchiveExportResult(
            snapshot: view.snapshot, rows: head.rows, vectors: vectors, bytes: archive.byteCount,
            hash: hash)
    }

    // MARK: rows

    /// A record of rows is written when it has grown to this.
    private static let rowsBytes = 1 << 20

    private func writeRows() throws {
        var payload: [UInt8] = []
        func write(_ row: UInt64) throws {
            try cancellation.check()
            StagedRecords.append(try view.record(row: row), to: &payload)
            guard payload.count >= Self.rowsBytes else { return }
            try archive.append(.rows, payload)
            payload.removeAll(keepingCapacity: true)
        }
        try live.forEachRow(write)
        if !payload.isEmpty { try archive.append(.rows, payload) }
    }

    // MARK: vectors

    private func writeVectors(
        of checkpoint: CheckpointDocument, index: UInt32, total: Int
    ) throws {
        let buffer = EncodedRowGroup()
        var rows: [UInt64] = []
        for unit in view.units(of: checkpoint) {
            try cancellation.check()
            let numbers = try view.rowMap(unit.segment, group: unit.group)
            var rest = numbers.indices.filter { live.contains(numbers[$0]) }[...]
            while !rest.isEmpty {
                if rows.isEmpty { prepare(buffer) }
                let taken = Array(rest.prefix(encodings.rowsPerGroup - rows.count))
                rest = rest.dropFirst(taken.count)
                try copy(unit, taken, to: rows.count, of: buffer)
                rows += taken.map { ranks.rank(of: numbers[$0]) }
                if rows.count == encodings.rowsPerGroup {
                    try write(buffer, rows, checkpoint: index)
                    progress(Double(vectors) / Double(max(1, total)))
                    rows.removeAll(keepingCapacity: true)
                }
            }
        }
        guard !rows.isEmpty else { return }
        try write(
            buffer.prefix(rows: rows.count, encodings: encodings.targets), rows, checkpoint: index)
    }

    private func prepare(_ group: EncodedRowGroup) {
        group.prepare(
            table: 0, segment: 0, rowGroup: 0, rows: encodings.rowsPerGroup,
            encodings: encodings.targets)
    }

    /// Copies rows, from the places `places` of a stored row group to those from `first` on.
    private func copy(
        _ unit: ScanUnit, _ places: [Int], to first: Int, of group: EncodedRowGroup
    ) throws {
        let (view, encodings, kernels) = (view, encodings, kernels)
        let rowCount = unit.segment.rows(ofGroup: unit.group)
        try Parallel.forEach(group.slots.count, threads: threads) { index, _ in
            let slot = group.slots[index]
            let target = encodings.targets[Int(slot.key.encoding)]
            let block = try BlockReader(
                view.store,
                view.blockKey(
                    encodings.sources[Int(slot.key.encoding)], unit.segment, group: unit.group,
                    slab: Int(slot.key.slab)),
                rows: rowCount, codec: target.codec, kind: target.kind, kernels: kernels)
            try group.copyRows(of: block, at: places, to: first, slot: index, kernels: kernels)
        }
    }

    private func write(_ group: EncodedRowGroup, _ rows: [UInt64], checkpoint: UInt32) throws {
        var prefix: [UInt8] = []
        prefix.append(littleEndian: checkpoint)
        prefix.append(littleEndian: UInt32(rows.count))
        prefix.append(littleEndianArray: rows)
        try archive.append(.vectors, bytes: encodings.payloadBytes(rows: rows.count)) { put in
            try prefix.withUnsafeBytes(put)
            try group.forEachArchivedPart { try put(UnsafeRawBufferPointer($0)) }
        }
        vectors += rows.count
    }
}

extension ArchiveHead {
    /// Rows of all checkpoints; what a damaged head says may be anything.
    var totalVectors: Int {
        checkpoints.reduce(0) { $0.addingReportingOverflow($1.rows).partialValue }
    }
}
