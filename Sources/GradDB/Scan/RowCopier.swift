// Whole rows of a row group, copied out of its blocks: for what looks at rows as vectors, and not at
// their scores.

/// Encoded rows of one layer, one behind the other.
package struct EncodedRows: Sendable {
    package let codec: any Codec
    package fileprivate(set) var bytes: [UInt8]
    package fileprivate(set) var statistics: [RowStatistics]

    package var count: Int { statistics.count }

    /// The bytes of one row.
    package func withRow<R>(_ index: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows
        -> R
    {
        let range = index * codec.rowBytes..<(index + 1) * codec.rowBytes
        return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }

    /// The row as a query of its own layer: as it is stored.
    package func query(_ index: Int) -> EncodedQuery {
        withRow(index) { codec.query(fromRow: Array($0), statistics[index]) }
    }

    /// Decodes a row in an orthonormal basis of its layer that is the same for all rows: that in which
    /// it was quantised, or the original one.
    package func decode(_ index: Int, into target: UnsafeMutableBufferPointer<Float>) {
        withRow(index) { bytes in
            if let codec = codec as? any RotatedCodec {
                codec.decode(rotated: bytes, statistics[index], into: target)
            } else {
                codec.decode(bytes, statistics[index], into: target)
            }
        }
    }
}

extension EncodedRows {
    /// Brings a vector from the basis of `decode` to the original one.
    package func restore(_ vector: UnsafeMutableBufferPointer<Float>) {
        guard let codec = codec as? any RotatedCodec, let x = vector.baseAddress else { return }
        codec.rotated.rotation.applyInverse(x, kernels: codec.rotated.kernels)
    }
}

/// Copies rows of row groups, in some encodings of a snapshot.
package struct RowCopier: Sendable {
    private let view: TableView
    private let columns: [ScanColumn]
    private let codecs: [any Codec]
    private let kernels: KernelSet

    package init(_ view: TableView, _ columns: [ScanColumn]) throws {
        let kernels = try KernelSet.chosen()
        self.view = view
        self.columns = columns
        self.kernels = kernels
        codecs = try columns.map {
            try view.table.codec($0.layer, $0.encoding.codec, kernels)
        }
    }

    /// Bytes of one row in all columns.
    package var rowBytes: Int { codecs.reduce(0) { $0 + $1.rowBytes } }

    /// The rows at `indices` of a row group, which ascend, column by column.
    ///
    /// - Throws: `.corrupt`, `.io`.
    package func copy(_ unit: ScanUnit, _ indices: [Int]) throws -> [EncodedRows] {
        try zip(columns, codecs).map { column, codec in
            var rows = EncodedRows(
                codec: codec,
                bytes: [UInt8](repeating: 0, count: indices.count * codec.rowBytes),
                statistics: [])
            for slab in 0..<codec.geometry.slabCount {
                let block = try self.block(unit, column, codec, slab: slab)
                if slab == 0 {
                    let all = block.statistics()
                    rows.statistics = indices.map { all[$0] }
                }
                try copy(block, slab: slab, indices, into: &rows)
            }
            return rows
        }
    }

    /// What is kept of each row of a row group beside its bytes, column by column.
    package func statistics(_ unit: ScanUnit) throws -> [[RowStatistics]] {
        try zip(columns, codecs).map { column, codec in
            try block(unit, column, codec, slab: 0).statistics()
        }
    }

    private func block(
        _ unit: ScanUnit, _ column: ScanColumn, _ codec: any Codec, slab: Int
    ) throws -> BlockReader {
        try BlockReader(
            view.store,
            view.blockKey(column.encoding, unit.segment, group: unit.group, slab: slab),
            rows: unit.segment.rows(ofGroup: unit.group), codec: codec,
            kind: column.encoding.codec, kernels: kernels, trusting: view.store.verifiedBlocks)
    }

    /// Verifies the chunks that hold the rows, and copies those.
    private func copy(
        _ block: borrowing BlockReader, slab: Int, _ indices: [Int], into rows: inout EncodedRows
    ) throws {
        let stride = block.layout.stride
        let rowBytes = rows.codec.rowBytes
        let isVerified = block.isVerified
        var next = 0
        try rows.bytes.withUnsafeMutableBytes { target in
            try block.forEachChunk(holding: indices) { chunk in
                if !isVerified { try block.verify(chunk, hash: kernels.hash(chunk.bytes)) }
                while next < indices.count, indices[next] < chunk.rows.upperBound {
                    let source = (indices[next] - chunk.rows.lowerBound) * stride
                    let start = next * rowBytes + slab * SlabGeometry.slabBytes
                    UnsafeMutableRawBufferPointer(rebasing: target[start..<start + stride])
                        .copyMemory(
                            from: UnsafeRawBufferPointer(
                                rebasing: chunk.bytes[source..<source + stride]))
                    next += 1
                }
            }
        }
    }
}
