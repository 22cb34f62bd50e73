// The encodings of an archive, numbered anew, and where their rows are in row groups.

/// The encodings of an archive's row groups, in the order of their numbers there.
struct ArchiveEncodings: Sendable {
    let targets: [TargetEncoding]
    /// Where the vectors are, in the database that is exported, by number in the archive.
    let sources: [LayerEncoding]
    let rowsPerGroup: Int

    init(_ view: TableView, kernels: KernelSet) throws {
        var sources: [LayerEncoding] = []
        targets = try view.table.layers.enumerated().flatMap { index, layer in
            try view.encodings(of: layer).map { source in
                let number = UInt32(sources.count)
                sources.append(source)
                return TargetEncoding(
                    LayerEncoding(number: number, codec: source.codec, snapshots: source.snapshots),
                    layer: index, codec: try view.table.codec(layer, source.codec, kernels))
            }
        }
        self.sources = sources
        rowsPerGroup = view.table.rowsPerGroup(targets)
    }

    /// Bytes of the payload of a record of vectors.
    func payloadBytes(rows: Int) -> UInt64 {
        targets.reduce(8 + 8 * UInt64(rows)) { sum, target in
            sum
                + UInt64(rows) * UInt64(BlockLayout.statisticsBytesPerRow + target.codec.rowBytes)
        }
    }
}

extension EncodedRowGroup {
    /// Whether scales and norms are numbers that an ingest could have stored.
    var hasSoundStatistics: Bool {
        slots.allSatisfy { slot in
            guard slot.layout.hasStatistics else { return true }
            let block = UnsafeRawBufferPointer(block(slot))
            return (0..<slot.layout.rows).allSatisfy { row in
                let statistics = RowStatistics(loading: block, row: row)
                let numbers = [
                    Double(statistics.scale), Double(statistics.residualNorm),
                    statistics.squaredNorm,
                ]
                return numbers.allSatisfy { $0.isFinite && $0 >= 0 }
            }
        }
    }

    /// Calls `body` with the parts of the blocks that an archive has: statistics and rows.
    func forEachArchivedPart(_ body: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        for slot in slots {
            let layout = slot.layout
            let start = layout.hasStatistics ? BlockLayout.headerBytes : layout.payloadOffset
            try body(
                UnsafeMutableRawBufferPointer(
                    rebasing: block(slot)[start..<layout.checksumsOffset]))
        }
    }
}
