// A row group that rows are still coming for, encoded as they come: laid out as a full one, since
// that is what it will be, unless the rank ends before.

final class OpenRowGroup: @unchecked Sendable {
    // One thread at a time: the caller's until the group is handed over to be written.
    private(set) var blocks: EncodedRowGroup
    let number: UInt32
    private(set) var rows = 0
    /// As the file of records has them.
    private(set) var records: [UInt8] = []
    /// Hashes of the rows' ids.
    private var ids: [UInt64] = []
    /// Of the vectors' content, by encoding, once it is sealed.
    private(set) var sums: [UInt32: UInt64] = [:]
    /// What made the rows' vectors, by layer, where a batch said so.
    private(set) var projectors: [String: ProjectorDocument] = [:]

    /// - Parameter blocks: a buffer to use again.
    init(
        _ number: UInt32, of rank: RankDirectory, table: UInt32, encodings: [TargetEncoding],
        blocks: EncodedRowGroup
    ) {
        self.number = number
        self.blocks = blocks
        blocks.prepare(
            table: table, segment: rank.segment, rowGroup: number, rows: rank.rowsPerGroup,
            encodings: encodings)
    }

    /// Takes the next row, whose vectors have been encoded at its place.
    func take(_ record: RowRecord, _ content: ContentHash) {
        ids.append(content.id(record.id))
        StagedRecords.append(record, to: &records)
        rows += 1
    }

    /// Takes note of what made the vectors of rows.
    func take(_ projectors: [String: ProjectorDocument]) {
        self.projectors.merge(projectors) { $1 }
    }

    /// Completes the blocks of all rows taken; no row may follow.
    ///
    /// - Parameter checkpoint: the hash of its name.
    func seal(_ encoder: RowGroupEncoder, rowsPerGroup: Int, checkpoint: UInt64) throws {
        if rows < rowsPerGroup {
            blocks = blocks.prefix(rows: rows, encodings: encoder.encodings)
        }
        try blocks.seal(kernels: encoder.kernels, threads: encoder.threads)
        sums = try blocks.contentSums(
            ids: ids, checkpoint: checkpoint, kernels: encoder.kernels, threads: encoder.threads)
    }
}
