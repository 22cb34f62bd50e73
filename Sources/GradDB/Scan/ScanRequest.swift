// What a scan is asked, and what it reports.

/// One pass over the vectors of a checkpoint, scoring every row against every query.
package struct ScanRequest: Sendable {
    package var view: TableView
    package var checkpoint: CheckpointDocument
    /// The layers that count, in the table's order.
    package var layers: [Layer]
    /// One per query, each with one encoded vector per layer of `layers`.
    package var queries: [[EncodedQuery]]
    /// Rows that count; nil is all.
    package var filter: RowSet?
    package var threads: Int
    package var cancellation: Cancellation

    package init(
        view: TableView, checkpoint: CheckpointDocument, layers: [Layer],
        queries: [[EncodedQuery]], filter: RowSet?, threads: Int, cancellation: Cancellation
    ) {
        self.view = view
        self.checkpoint = checkpoint
        self.layers = layers
        self.queries = queries
        self.filter = filter
        self.threads = threads
        self.cancellation = cancellation
    }
}

/// The scores of one row group: what a scan hands to whoever selects.
package struct GroupScores {
    /// Row numbers, in stored order.
    package let rows: [UInt64]
    /// Which of them count; nil is all. The others' scores mean nothing.
    package let mask: [Bool]?
    /// `dots[query * rows.count + row]`: the dot product over the chosen layers.
    package let dots: UnsafeBufferPointer<Double>
    /// Per row, the sum of squares over the chosen layers.
    package let squaredNorms: UnsafeBufferPointer<Double>
}

/// What a scan did.
package struct ScanCounters: Sendable, Equatable {
    package var rows = 0
    package var rowGroups = 0
    package var skippedRowGroups = 0
    package var blocks = 0
    /// Payload bytes that were verified and scored.
    package var bytes: UInt64 = 0
    package var multiplications: UInt64 = 0

    package init() {}

    package static func += (left: inout ScanCounters, right: ScanCounters) {
        left.rows += right.rows
        left.rowGroups += right.rowGroups
        left.skippedRowGroups += right.skippedRowGroups
        left.blocks += right.blocks
        left.bytes += right.bytes
        left.multiplications += right.multiplications
    }
}
