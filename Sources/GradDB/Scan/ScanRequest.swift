// What a scan is asked, and what it reports.

/// What a scan reads of a layer: all that the layer's score is defined by, or less, for an estimate.
package struct ScanColumn: Sendable {
    package var layer: Layer
    package var encoding: LayerEncoding
    /// How many of the encoding's slabs, from the first on.
    package var slabs: Int
    /// The codec that defines the layer's score.
    package var target: CodecKind
    /// Whether single precision is enough: faster, with a known bound on the error. Only codecs of
    /// floats differ.
    package var isSinglePrecision = false

    package init(layer: Layer, encoding: LayerEncoding, slabs: Int, target: CodecKind) {
        self.layer = layer
        self.encoding = encoding
        self.slabs = slabs
        self.target = target
    }

    /// All of an encoding, for the scores that are defined by it.
    ///
    /// - Parameter codec: the encoding's.
    package init(_ layer: Layer, allOf encoding: LayerEncoding, _ codec: any Codec) {
        self.init(
            layer: layer, encoding: encoding, slabs: codec.geometry.slabCount,
            target: encoding.codec)
    }
}

/// One pass over the vectors of a checkpoint, scoring every row against every query.
package struct ScanRequest: Sendable {
    package var view: TableView
    package var checkpoint: CheckpointDocument
    /// The layers that count, in the table's order.
    package var columns: [ScanColumn]
    /// One per query, each with one vector per column, encoded for the column's codec.
    package var queries: [[EncodedQuery]]
    /// Rows that count; nil is all.
    package var filter: RowSet?
    package var threads: Int
    package var cancellation: Cancellation
    /// No row group but the first is begun after this; nil scans all of them.
    package var deadline: ContinuousClock.Instant?
    /// Whether a row whose dot products lie within ± these (one per query) may still matter to who
    /// consumes the scores. Asked with the norms of row groups, then of rows; nil: all may.
    package var mayMatter: (@Sendable (_ worker: Int, _ bounds: [Double]) -> Bool)?

    /// What `GroupScores` and `RowScores` have as squared norms of a row group's rows, in stored
    /// order; nil: those of the vectors.
    package var squaredNorms: (@Sendable (ScanUnit) throws -> [Double])?

    /// Where it runs; nil: here, on the processor.
    package var device: DeviceUse?

    package init(
        view: TableView, checkpoint: CheckpointDocument, columns: [ScanColumn],
        queries: [[EncodedQuery]], filter: RowSet?, threads: Int, cancellation: Cancellation
    ) {
        self.view = view
        self.checkpoint = checkpoint
        self.columns = columns
        self.queries = queries
        self.filter = filter
        self.threads = threads
        self.cancellation = cancellation
    }
}

/// The device that a scan is to run on.
package struct DeviceUse: Sendable {
    package var device: any ScanDevice
    /// Whether the scan fails with the device; else the processor does what is left of it.
    package var isRequired: Bool

    package init(_ device: any ScanDevice, isRequired: Bool) {
        self.device = device
        self.isRequired = isRequired
    }
}

/// One row group: what a thread takes at a time.
package struct ScanUnit: Sendable {
    package var segment: SegmentDocument
    package var group: Int
}

extension TableView {
    /// The row groups of a checkpoint, in stored order: every scan of it numbers them so.
    package func units(of checkpoint: CheckpointDocument) -> [ScanUnit] {
        segments(of: checkpoint).flatMap { segment in
            (0..<segment.rowGroups).map { ScanUnit(segment: segment, group: $0) }
        }
    }
}

/// The scores of one row group: what a scan hands to whoever selects.
package struct GroupScores {
    /// Which of the scan's units it is.
    package let unit: Int
    /// Row numbers, in stored order.
    package let rows: [UInt64]
    /// Which of them count; nil is all. The others' scores mean nothing.
    package let mask: [Bool]?
    /// `dots[query * rows.count + row]`: the dot product over the chosen layers.
    package let dots: UnsafeBufferPointer<Double>
    /// Per row, the sum of squares over the chosen layers.
    package let squaredNorms: UnsafeBufferPointer<Double>
    /// How far each of `dots` may be off: a bound, or a standard deviation (`ScanColumn.error`).
    /// Empty where they are exact.
    package let errors: UnsafeBufferPointer<Double>
}

/// What a scan did.
package struct ScanCounters: Sendable, Equatable {
    package var rows = 0
    /// Those, and the rows whose norms show that they need no score.
    package var consideredRows = 0
    package var rowGroups = 0
    package var skippedRowGroups = 0
    package var blocks = 0
    /// Of those, blocks that had not been verified before, and now were, as far as they were used.
    package var verifiedBlocks = 0
    /// Payload bytes that were verified and scored.
    package var bytes: UInt64 = 0
    package var multiplications: UInt64 = 0
    /// What a device did of it; nil where the processor did all.
    package var device: DeviceCounters?

    package init() {}

    package static func += (left: inout ScanCounters, right: ScanCounters) {
        left.rows += right.rows
        left.consideredRows += right.consideredRows
        left.rowGroups += right.rowGroups
        left.skippedRowGroups += right.skippedRowGroups
        left.blocks += right.blocks
        left.verifiedBlocks += right.verifiedBlocks
        left.bytes += right.bytes
        left.multiplications += right.multiplications
        if let device = right.device {
            left.device = left.device.map { $0 + device } ?? device
        }
    }
}

/// What a device did.
package struct DeviceCounters: Sendable, Equatable {
    package var name: String
    /// Brought to it, and scored where it lay.
    package var stagedBytes: UInt64 = 0
    package var residentBytes: UInt64 = 0
    /// Rows whose scores were bounded first, and scores that were then computed exactly.
    package var boundedRows = 0
    package var rescored = 0
    /// How long copies to it, and its kernels, took; they go on beside each other.
    package var copySeconds = 0.0
    package var computeSeconds = 0.0
    /// Until the first launch was given: queries, memory. By the host's clock.
    package var prepareSeconds = 0.0
    /// Of `computeSeconds`, the selection, where there is one.
    package var selectSeconds = 0.0
    /// Of `computeSeconds`, the launches that score; only where the device is told to time them.
    package var scoreSeconds = 0.0
    /// Bringing back what was selected, by the host's clock.
    package var readSeconds = 0.0
    /// Why the processor had to go on in its place.
    package var failure: String?

    package init(name: String) { self.name = name }

    package static func + (left: Self, right: Self) -> Self {
        var sum = left
        if right.name != left.name { sum.name += ", " + right.name }
        sum.stagedBytes += right.stagedBytes
        sum.residentBytes += right.residentBytes
        sum.boundedRows += right.boundedRows
        sum.rescored += right.rescored
        // Of devices beside each other, the one that took longer; of passes, each.
        sum.copySeconds += right.copySeconds
        sum.computeSeconds += right.computeSeconds
        sum.prepareSeconds += right.prepareSeconds
        sum.selectSeconds += right.selectSeconds
        sum.scoreSeconds += right.scoreSeconds
        sum.readSeconds += right.readSeconds
        sum.failure = left.failure ?? right.failure
        return sum
    }
}
