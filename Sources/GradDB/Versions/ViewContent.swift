// The content of rows that are stored already: what is added to, or taken from, the sums of a snapshot
// when rows are stored again, deleted, or looked at by a check.

/// Names of a view's rows and checkpoints, as their content has them. Used by one thread at a time.
package final class ViewContent {
    package let view: TableView
    package let kernels: KernelSet
    private let content: ContentHash
    private let ids: RowIDs
    private let live: RowSet?
    private let checkpoints: [UInt32: UInt64]

    package init(_ view: TableView, _ kernels: KernelSet) throws {
        let content = ContentHash(kernels)
        self.view = view
        self.kernels = kernels
        self.content = content
        ids = try RowIDs(view, kernels: kernels)
        live = try view.liveRows
        checkpoints = Dictionary(
            uniqueKeysWithValues: view.checkpoints.map {
                ($0.checkpoint, content.checkpoint($0.name))
            })
    }

    /// Of the checkpoint's name.
    package func checkpoint(_ number: UInt32) -> UInt64 { checkpoints[number] ?? 0 }

    package func id(of row: UInt64) throws -> UInt64 { try ids.hash(of: row) }

    /// By row of a row group, the hashes of their ids; nil for rows that are deleted.
    package func ids(_ segment: SegmentDocument, group: Int) throws -> [UInt64?] {
        try view.rowMap(segment, group: group).map { row in
            try live?.contains(row) ?? true ? ids.hash(of: row) : nil
        }
    }

    /// The sums of an encoded row group that holds rows of the view, those that are deleted left out, by
    /// encoding.
    package func sums(
        of encoded: EncodedRowGroup, _ segment: SegmentDocument, group: Int, threads: Int
    ) throws -> [UInt32: UInt64] {
        try encoded.contentSums(
            ids: try ids(segment, group: group), checkpoint: checkpoint(segment.checkpoint),
            kernels: kernels, threads: threads)
    }
}
