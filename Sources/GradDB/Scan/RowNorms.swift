// Norms of stored rows: they stand at the head of a row group's first block of each layer, and are
// verified with it, so that no vector is read for them.

/// Squared norms of the rows of a checkpoint, over some layers.
package struct RowNorms: Sendable {
    private let view: TableView
    private let columns: [(encoding: LayerEncoding, codec: any Codec)]
    private let kernels: KernelSet

    /// - Parameter encodings: of each of `layers`, the one that defines its scores.
    package init(_ view: TableView, layers: [Layer], encodings: [LayerEncoding]) throws {
        let kernels = try KernelSet.chosen()
        self.view = view
        self.kernels = kernels
        columns = try zip(layers, encodings).map { layer, encoding in
            (encoding, try view.table.codec(layer, encoding.codec, kernels))
        }
    }

    /// Blocks of a row group that are looked at.
    package var blocksPerGroup: Int { columns.count }

    /// By row in stored order, the sum of the layers' squared norms, in the order of the layers and
    /// starting from 0 (format-spec/codecs.md).
    ///
    /// - Throws: `.corrupt`.
    package func squaredNorms(of unit: ScanUnit) throws -> [Double] {
        let count = unit.segment.rows(ofGroup: unit.group)
        var sums = [Double](repeating: 0, count: count)
        for column in columns {
            let block = try BlockReader(
                view.store,
                view.blockKey(column.encoding, unit.segment, group: unit.group, slab: 0),
                rows: count, codec: column.codec, kind: column.encoding.codec, kernels: kernels,
                trusting: view.store.verifiedBlocks)
            let statistics = block.statistics()
            for row in 0..<count { sums[row] += statistics[row].squaredNorm }
        }
        return sums
    }
}
