// Reads the vectors of a row group, encodes them and fills its blocks, on several threads.

import CGradKernels

package struct RowGroupEncoder: Sendable {
    /// A worker reads about this much input at a time.
    private static let readBytes = 1 << 20

    package let table: TableDocument
    /// In ascending order of their numbers.
    package let encodings: [TargetEncoding]
    package let kernels: KernelSet
    package let threads: Int
    package let cancellation: Cancellation

    /// One worker's share: consecutive input rows of one layer.
    private struct Tile: Sendable {
        var piece: InputPiece
        var layer: Int
        var matrix: VectorMatrix
    }

    /// Fills `group` from `plan`.
    ///
    /// - Throws: `.badInput` naming file, layer and id for values that cannot be stored.
    package func encode(
        _ plan: RowGroupPlan, segment: UInt64, rowGroup: UInt32, into group: EncodedRowGroup
    ) throws {
        group.prepare(
            table: table.table, segment: segment, rowGroup: rowGroup, rows: plan.rows.count,
            encodings: encodings)
        let ids = plan.ids
        try encode(plan.pieces, into: group) { ids[$0] }
        try group.seal(kernels: kernels, threads: threads)
    }

    /// Encodes rows into a group that is laid out and may hold others already. Of a failure it keeps
    /// nothing: what is at the places of these rows then means nothing.
    ///
    /// - Parameter id: of a row by its place in the group, for errors.
    package func encode(
        _ pieces: [InputPiece], into group: EncodedRowGroup, id: @escaping @Sendable (Int) -> RowID
    ) throws {
        let tiles = try self.tiles(pieces)
        try Parallel.forEach(tiles.count, threads: threads) { index, _ in
            try cancellation.check()
            try encode(tiles[index], into: group, id: id)
        }
    }

    private func tiles(_ pieces: [InputPiece]) throws -> [Tile] {
        var tiles: [Tile] = []
        for piece in pieces {
            for (index, layer) in table.layers.enumerated() {
                let matrix = try piece.source.matrix(layer.name, allowVector: false)
                let rowsPerTile = max(1, Self.readBytes / matrix.rowBytes)
                var start = piece.sourceRows.lowerBound
                while start < piece.sourceRows.upperBound {
                    let end = min(start + rowsPerTile, piece.sourceRows.upperBound)
                    let offset = piece.groupOffset + start - piece.sourceRows.lowerBound
                    tiles.append(
                        Tile(
                            piece: InputPiece(
                                source: piece.source, sourceRows: start..<end, groupOffset: offset),
                            layer: index, matrix: matrix))
                    start = end
                }
            }
        }
        return tiles
    }

    private func encode(
        _ tile: Tile, into group: EncodedRowGroup, id: (Int) -> RowID
    ) throws {
        let dims = tile.matrix.dims
        let rowCount = tile.piece.sourceRows.count
        let input = UnsafeMutableRawBufferPointer.allocate(
            byteCount: rowCount * tile.matrix.rowBytes, alignment: 64)
        defer { input.deallocate() }
        let encoder = RowEncoder(
            encodings, at: encodings.indices.filter { encodings[$0].layer == tile.layer },
            dims: dims)
        let floats = encoder.row
        let layerName = table.layers[tile.layer].name
        try tile.piece.source.read(
            tensor: layerName, rows: tile.piece.sourceRows, into: input)
        for index in 0..<rowCount {
            let start = index * tile.matrix.rowBytes
            let row = UnsafeRawBufferPointer(
                rebasing: input[start..<start + tile.matrix.rowBytes])
            tile.matrix.element.convert(row, to: floats, kernels: kernels)
            let groupRow = tile.piece.groupOffset + index
            func refuse(_ reason: String) -> GradDBError {
                .badInput(
                    "\(tile.piece.source.name), row \(tile.piece.sourceRows.lowerBound + index) "
                        + "(id \(id(groupRow))), layer '\(layerName)': \(reason)")
            }
            let bad = kernels.table.find_nonfinite(floats.baseAddress, dims)
            guard bad == dims else {
                let value = floats[bad].isNaN ? "NaN" : "\(floats[bad])"
                throw refuse(
                    "the value at dim \(bad) is \(value); remove the row or repair the gradient")
            }
            do throws(EncodingFailure) {
                try encoder.encode(into: group, row: groupRow)
            } catch {
                throw refuse(error.reason)
            }
        }
    }
}

extension VectorElement {
    /// Converts stored elements to floats, exactly.
    package func convert(
        _ source: UnsafeRawBufferPointer, to target: UnsafeMutableBufferPointer<Float>,
        kernels: KernelSet
    ) {
        let halves = source.baseAddress?.assumingMemoryBound(to: UInt16.self)
        switch self {
        case .f32: UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
        case .f16: kernels.table.f16_to_f32(halves, target.baseAddress, target.count)
        case .bf16: kernels.table.bf16_to_f32(halves, target.baseAddress, target.count)
        }
    }
}
