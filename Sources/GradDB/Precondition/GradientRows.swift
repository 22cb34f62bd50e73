// The vectors of a layer at a checkpoint as they are stored in its finest encoding, decoded, in the
// order of their segments: what a preconditioner is made of.

struct GradientRows {
    let layer: Layer
    let checkpoint: CheckpointDocument
    private let view: TableView
    private let segments: [SegmentDocument]
    private let encoding: LayerEncoding
    private let codec: any Codec
    private let kernels: KernelSet
    private let threads: Int
    private let live: RowSet?
    /// Rows that are not deleted.
    let count: Int

    init(_ view: TableView, layer: Layer, checkpoint: CheckpointDocument, threads: Int) throws {
        self.view = view
        self.layer = layer
        self.checkpoint = checkpoint
        self.threads = threads
        segments = view.segments(of: checkpoint)
        live = try view.liveRows
        count = try view.rowCount(of: checkpoint)
        encoding = try view.finestEncoding(of: layer)
        kernels = try KernelSet.chosen()
        codec = try view.table.codec(layer, encoding.codec, kernels)
    }

    /// Those that are deleted, too.
    var storedCount: Int { segments.reduce(0) { $0 + $1.rows } }
    /// Of one row as it is stored.
    var rowBytes: Int { codec.rowBytes }

    /// Rows in a batch: 32 MiB of them, and at least as many as a product of matrices wants.
    private var batchRows: Int {
        max(16, min(512, (32 << 20) / (layer.dims * MemoryLayout<Double>.size)))
    }

    /// Calls `body` with batch after batch. It may overwrite the rows.
    ///
    /// - Parameter includingDeleted: whether rows that are deleted come too.
    func forEachBatch(
        includingDeleted: Bool = false, cancellation: Cancellation,
        _ body: (DoubleBlock) throws -> Void
    ) throws {
        let live = includingDeleted ? nil : live
        let stored = StoredRowGroup(view, encoding, codec: codec, kernels: kernels)
        let batch = try DoubleMatrix(
            rows: min(batchRows, max(1, storedCount)), columns: layer.dims)
        var filled = 0
        for segment in segments {
            for group in 0..<segment.rowGroups {
                try cancellation.check()
                try stored.load(segment, group: group, threads: threads)
                let rows = try self.rows(segment, group: group, live)
                var next = 0
                while next < rows.count {
                    let taken = min(batch.rows - filled, rows.count - next)
                    let target = batch.block[filled..<filled + taken]
                    try decode(
                        stored, rows[next..<next + taken], segment, group, into: target)
                    filled += taken
                    next += taken
                    guard filled == batch.rows else { continue }
                    try cancellation.check()
                    try body(batch.block)
                    filled = 0
                }
            }
        }
        if filled > 0 { try body(batch.block[0..<filled]) }
    }

    /// Places of the rows within their group that are to come.
    private func rows(
        _ segment: SegmentDocument, group: Int, _ live: RowSet?
    ) throws -> [Int] {
        let all = 0..<segment.rows(ofGroup: group)
        guard let live else { return Array(all) }
        let rows = try view.rowMap(segment, group: group)
        return all.filter { live.contains(rows[$0]) }
    }

    /// All rows of one row group, those that are deleted too.
    func group(_ unit: ScanUnit) throws -> DoubleMatrix {
        let stored = StoredRowGroup(view, encoding, codec: codec, kernels: kernels)
        let rows = unit.segment.rows(ofGroup: unit.group)
        let matrix = try DoubleMatrix(rows: rows, columns: layer.dims)
        try stored.load(unit.segment, group: unit.group, threads: threads)
        try decode(stored, Array(0..<rows)[...], unit.segment, unit.group, into: matrix.block)
        return matrix
    }

    /// Rows that one thread decodes at a time.
    private static let rowsPerTile = 16

    /// Decodes rows at these places within their group, as many as `target` has.
    private func decode(
        _ stored: StoredRowGroup, _ places: ArraySlice<Int>, _ segment: SegmentDocument,
        _ group: Int,
        into target: DoubleBlock
    ) throws {
        let dims = layer.dims
        let tiles = (target.rows + Self.rowsPerTile - 1) / Self.rowsPerTile
        try Parallel.forEach(tiles, threads: threads) { tile, _ in
            let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: dims)
            defer { floats.deallocate() }
            let rows = tile * Self.rowsPerTile..<min(target.rows, (tile + 1) * Self.rowsPerTile)
            for index in rows {
                let place = places[places.startIndex + index]
                let row = stored.row(place)
                codec.decode(row.bytes, row.statistics, into: floats)
                let bad = kernels.table.find_nonfinite(floats.baseAddress, dims)
                guard bad == dims else {
                    throw try refusal(segment, group, place, dim: bad)
                }
                let doubles = target.row(index)
                for dim in 0..<dims { doubles[dim] = Double(floats[dim]) }
            }
        }
    }

    private func refusal(
        _ segment: SegmentDocument, _ group: Int, _ index: Int, dim: Int
    ) throws -> GradDBError {
        let row = try view.rowMap(segment, group: group)[index]
        return .badInput(
            "layer '\(layer.name)', id \(try view.record(row: row).id) at checkpoint "
                + "'\(checkpoint.name)': the value at dim \(dim) is too large to be decoded")
    }
}
