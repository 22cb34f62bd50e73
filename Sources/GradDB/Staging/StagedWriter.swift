// One rank of a staged ingest: rows are pushed in, and lie in files of its own until the commit.
//
//   append: check and encode all rows of the batch -> take them -> full row groups to the PairWriter
//
// Rows are encoded as they come, into row groups laid out as full ones. Nothing of a batch counts
// before all its rows have been encoded: so it is taken whole or not at all.

/// Writes one rank of a staged ingest. Holds no lock on the database. Used from one thread at a time.
package final class StagedWriter {
    /// As it was when the writer was opened.
    package let table: Table
    package let document: StagedDocument
    /// Rows of the rank that earlier processes made durable.
    package let earlierRows: Int
    private var state = State.open
    private let place: RankPlace
    private let journal: JournalFile
    private let files: PairWriter
    private let encoder: RowGroupEncoder
    private let content: ContentHash
    private var filter: RowFilter
    private var agreement: ProjectorAgreement
    /// The row group that is not full yet.
    private var group: OpenRowGroup?
    private var nextGroup: UInt32
    /// Whether the rank ends with a row group that is not full, so that none can follow.
    private var endsShort: Bool
    private var spare: EncodedRowGroup?
    private var newRows = 0
    private var skipped = 0

    /// Where the rank's files are.
    var rankDirectory: String { place.rank.path }

    private enum State {
        case open, closed, abandoned
        case failed(GradDBError)
    }

    /// Begins or joins the staged ingest of the table at the checkpoint, and opens a rank of it.
    /// Beginning needs the database's lock, for a moment, and waits up to a minute for it.
    ///
    /// - Throws: `.locked` when another process writes the rank, or the database for too long;
    ///   `.usage` for options that contradict each other or those it was begun with; `.failed`
    ///   where the table's encodings have changed since; `.notFound`, `.corrupt`, `.io`.
    package init(
        database path: String, table: String, options: StagedOptions,
        cancellation: Cancellation = Cancellation()
    ) throws {
        try options.validate()
        let kernels = try KernelSet.chosen()
        content = ContentHash(kernels)
        place = try RankPlace(
            database: path, table: table, options: options, kernels: kernels,
            cancellation: cancellation)
        let view = place.view
        let rank = place.rank
        self.table = view.table
        document = place.directory.document
        journal = try JournalFile(rank, kernels: kernels)
        try place.tidyFiles(journal)
        let groups = journal.pairs.reduce(0) { $0 + $1.groups }
        earlierRows = journal.pairs.reduce(0) { $0 + $1.rows }
        nextGroup = UInt32(groups)
        endsShort = earlierRows < groups * rank.rowsPerGroup
        files = PairWriter(rank, journal: journal, kernels: kernels)
        encoder = RowGroupEncoder(
            table: view.table.document, encodings: try view.targetEncodings(kernels),
            kernels: kernels, threads: options.threads, cancellation: cancellation)
        filter = try RowFilter(
            view, checkpoint: options.checkpoint, resume: options.resume, kernels: kernels)
        try filter.learn(journal.pairs, of: rank)
        agreement = ProjectorAgreement(
            table: view.table.name, layers: view.table.layers,
            hasRows: view.table.head.nextRow > 0)
        for pair in journal.pairs {
            try agreement.check(pair.projectors ?? [:], of: rank.sstPath(pair.file))
        }
        if options.resume {
            for other in 0..<document.ranks where other != rank.rank {
                let directory = place.directory.rank(other)
                try filter.learn(
                    try RankJournal(of: directory, kernels: kernels).pairs, of: directory)
            }
        }
    }

    deinit {
        if case .open = state { files.discard() }
    }

    /// Takes a batch of rows, all or none.
    ///
    /// - Parameters:
    ///   - batch: one tensor `[rows, dims]` for each layer.
    ///   - rows: which of its rows; all by default.
    ///   - ids: one for each of these rows.
    ///   - fields: for each of these rows the table's fields in their order, nil is NULL; nil where
    ///     there is nothing to say of them.
    /// - Throws: `.badInput` naming the row for anything that cannot be stored, and then nothing of
    ///   the batch is taken; `.failed` for a writer that is closed, or whose rank has ended with a
    ///   row group that is not full; `.io`, after which the rank must be opened again.
    @discardableResult
    package func append(
        _ batch: any VectorSource, rows: Range<Int>? = nil, ids: [RowID],
        fields: [[FieldValue?]]? = nil
    ) throws -> AppendResult {
        try requireOpen()
        let rows = try check(batch, rows: rows, ids: ids, fields: fields)
        let kept = try filter.rows(toKeepOf: ids, fields: fields) {
            "\(batch.name), row \(rows.lowerBound + $0)"
        }
        guard kept.isEmpty || !endsShort else {
            throw GradDBError(
                .failed,
                "rank \(place.rank.rank) was closed with a row group that is not full, so that no "
                    + "row can follow; commit the staged ingest and bring further rows in another "
                    + "one")
        }
        var agreement = self.agreement
        try agreement.check(batch)
        let parts = try encode(batch, from: rows.lowerBound, kept, ids)
        // Nothing below refuses a row.
        self.agreement = agreement
        filter.takeKept()
        newRows += kept.count
        skipped += ids.count - kept.count
        let projectors = batch.projectors.filter { name, _ in
            table.layers.contains { $0.name == name }
        }
        try orFail {
            for part in parts {
                part.group.take(projectors)
                for index in kept[part.rows] {
                    part.group.take(
                        RowRecord(id: ids[index], values: fields?[index] ?? filter.noFields),
                        content)
                }
                group = part.group
                if part.group.rows == place.rank.rowsPerGroup { try handOver(part.group) }
            }
            try files.finishIfDue()
        }
        return AppendResult(rows: kept.count, skipped: ids.count - kept.count)
    }

    /// Makes all full row groups durable. The rows of one that is not full stay in memory.
    package func flush() throws {
        try requireOpen()
        try orFail { try files.finish() }
    }

    /// Writes the last row group and closes the rank: it has all its rows.
    @discardableResult
    package func close() throws -> StagedSummary {
        try requireOpen()
        try orFail {
            if let group, group.rows > 0 { try handOver(group) }
            try files.finish()
            try journal.close()
        }
        state = .closed
        place.release()
        return StagedSummary(
            rows: journal.pairs.reduce(0) { $0 + $1.rows }, newRows: newRows, skipped: skipped,
            bytes: journal.pairs.reduce(0) { $0 + $1.sstBytes + $1.rowsBytes })
    }

    /// Stops without closing the rank: finished pairs stay, and another writer may go on.
    package func abandon() {
        guard case .open = state else { return }
        files.discard()
        state = .abandoned
        place.release()
    }

    /// What a user should know of the batches so far, a sentence each.
    package var notes: [String] { agreement.notes }

    // MARK: one batch

    /// Rows of a batch that go into one row group.
    private struct Part {
        var group: OpenRowGroup
        /// Positions among the rows that are kept.
        var rows: Range<Int>
    }

    /// Encodes the rows `kept` of a batch into the open group, and into new ones where that is not
    /// enough. Of a failure nothing remains but bytes that the next batch overwrites.
    private func encode(
        _ batch: any VectorSource, from first: Int, _ kept: [Int], _ ids: [RowID]
    ) throws -> [Part] {
        var parts: [Part] = []
        var number = group.map { $0.number + 1 } ?? nextGroup
        var done = 0
        while done < kept.count {
            let group: OpenRowGroup
            if done == 0, let open = self.group {
                group = open
            } else {
                group = OpenRowGroup(
                    number, of: place.rank, table: document.table, encodings: encoder.encodings,
                    blocks: spare ?? EncodedRowGroup())
                spare = nil
                number += 1
            }
            let start = group.rows
            let end = min(kept.count, done + place.rank.rowsPerGroup - start)
            let indices = kept[done..<end]
            let offset = done
            try encoder.encode(
                pieces(batch, indices.map { first + $0 }, at: start), into: group.blocks
            ) { ids[indices[offset + $0 - start]] }
            parts.append(Part(group: group, rows: done..<end))
            done = end
        }
        return parts
    }

    /// Rows of a source, as runs of consecutive ones.
    private func pieces(
        _ batch: any VectorSource, _ rows: [Int], at offset: Int
    ) -> [InputPiece] {
        var pieces: [InputPiece] = []
        for (index, row) in rows.enumerated() {
            pieces.append(row: row, of: batch, at: offset + index, isOfLastSource: true)
        }
        return pieces
    }

    private func handOver(_ group: OpenRowGroup) throws {
        try group.seal(
            encoder, rowsPerGroup: place.rank.rowsPerGroup,
            checkpoint: content.checkpoint(document.checkpoint))
        self.group = nil
        nextGroup = group.number + 1
        spare = try files.append(group)?.blocks
    }

    /// Which rows of the batch are meant, after checking its shape.
    private func check(
        _ batch: any VectorSource, rows: Range<Int>?, ids: [RowID], fields: [[FieldValue?]]?
    ) throws -> Range<Int> {
        try batch.check(against: table.document)
        let count = try batch.rowCount(of: table.layers.map(\.name))
        let rows = rows ?? 0..<count
        guard rows.lowerBound >= 0, rows.upperBound <= count else {
            throw GradDBError.usage("\(batch.name) has \(count) rows, none of \(rows)")
        }
        guard ids.count == rows.count else {
            throw GradDBError.badInput(
                "\(batch.name): there are \(ids.count) ids for \(rows.count) rows; give one each")
        }
        guard fields.map({ $0.count == rows.count }) ?? true else {
            throw GradDBError.badInput(
                "\(batch.name): there are fields of \(fields?.count ?? 0) rows for \(rows.count) "
                    + "rows; give those of each")
        }
        return rows
    }

    // MARK: state

    private func requireOpen() throws {
        let rank = "the writer of rank \(place.rank.rank)"
        switch state {
        case .open: return
        case .closed: throw GradDBError(.failed, "\(rank) is closed; open another one")
        case .abandoned:
            throw GradDBError(.failed, "\(rank) was abandoned; open another one with resume")
        case .failed(let error):
            throw GradDBError(
                error.kind, "\(rank) failed; open another one with resume (\(error.message))")
        }
    }

    /// What fails here leaves rows in no known state: what is in the journal stays, and the rank
    /// can be opened again.
    private func orFail(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch {
            files.discard()
            state = .failed(error as? GradDBError ?? GradDBError(.failed, "\(error)"))
            place.release()
            throw error
        }
    }
}
