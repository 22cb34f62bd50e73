// A stored preconditioner as queries use it: H⁻¹q, qᵀH⁻¹q, and gᵀH⁻¹g of stored rows.

import Synchronization

/// One preconditioner of a snapshot. Matrices are read when they are first asked for, and kept with
/// the store; shared by threads.
package final class Preconditioner: Sendable {
    package let document: PreconditionerDocument
    private let view: TableView
    /// Norms of row groups that came after it.
    private let computed = Mutex<[NormsKey: [Double]]>([:])

    /// Row groups whose norms are kept, at most, in all layers.
    private static let keptNorms = 1 << 13

    private struct NormsKey: Hashable {
        var segment: UInt64
        var group: Int
        var layer: UInt32
    }

    fileprivate init(_ view: TableView, _ document: PreconditionerDocument) {
        self.view = view
        self.document = document
    }

    /// Whether it has a matrix for the layer at the checkpoint.
    package func hasPart(layer: Layer, checkpoint: CheckpointDocument) -> Bool {
        position(layer, checkpoint) != nil
    }

    private func position(
        _ layer: Layer, _ checkpoint: CheckpointDocument
    ) -> PreconditionerDocument.Part? {
        document.parts.first {
            $0.layer == layer.number && $0.checkpoint == checkpoint.checkpoint
        }
    }

    /// The matrix of a layer at a checkpoint.
    ///
    /// - Throws: `.usage` where it has none, `.corrupt`, `.failed` without OpenBLAS.
    package func part(
        layer: Layer, checkpoint: CheckpointDocument
    ) throws -> PreconditionerPart {
        guard let part = position(layer, checkpoint) else {
            throw GradDBError.usage(
                "the preconditioner '\(document.name)' has nothing for layer '\(layer.name)' at "
                    + "checkpoint '\(checkpoint.name)'")
        }
        let key = Keys.piece(
            table: view.table.document.table, preconditioner: document.number, part: part.part,
            piece: 0)
        return try view.store.keptValues.value(key, bytes: part.bytes) {
            PreconditionerPart(
                document: part,
                matrix: try part.matrix(
                    dims: layer.dims, reading: StoredNumbers(view, document, part)))
        }
    }

    /// gᵀH⁻¹g of all rows of a row group, summed over the layers in their order, starting from 0:
    /// stored, or computed for row groups that came later.
    package func squaredNorms(
        of unit: ScanUnit, layers: [Layer], checkpoint: CheckpointDocument
    ) throws -> [Double] {
        let rows = unit.segment.rows(ofGroup: unit.group)
        let all = document.parts(of: checkpoint)
        let stored = try view.storedNorms(document, of: unit, parts: all.count)
        var sums = [Double](repeating: 0, count: rows)
        for layer in layers {
            let norms: ArraySlice<Double>
            if let stored, let index = all.firstIndex(where: { $0.layer == layer.number }) {
                norms = stored[index * rows..<(index + 1) * rows]
            } else {
                norms = try computedNorms(of: unit, layer, checkpoint)[...]
            }
            for (row, norm) in norms.enumerated() { sums[row] += norm }
        }
        return sums
    }

    private func computedNorms(
        of unit: ScanUnit, _ layer: Layer, _ checkpoint: CheckpointDocument
    ) throws -> [Double] {
        let key = NormsKey(
            segment: unit.segment.segment, group: unit.group, layer: layer.number)
        if let known = computed.withLock({ $0[key] }) { return known }
        let part = try part(layer: layer, checkpoint: checkpoint)
        let gradients = try GradientRows(view, layer: layer, checkpoint: checkpoint, threads: 1)
        let norms = try part.matrix.squaredNorms(gradients.group(unit).block, threads: 1)
        computed.withLock { computed in
            if computed.count < Self.keptNorms { computed[key] = norms }
        }
        return norms
    }
}

/// The matrix of one layer at one checkpoint.
package struct PreconditionerPart: Sendable {
    package let document: PreconditionerDocument.Part
    let matrix: any InverseMatrix

    /// H⁻¹q of vectors that follow each other, computed in double, rounded to single precision, and
    /// qᵀH⁻¹q of each. What is too large becomes infinite.
    package func inverse(of vectors: [Float]) throws -> (vectors: [Float], squaredNorms: [Double]) {
        let rows = try matrix(of: vectors)
        try matrix.apply(to: rows.block)
        let norms = (0..<rows.rows).map { index in
            zip(rows.block.row(index), vectors[(index * matrix.dims)...]).reduce(0) {
                $0 + $1.0 * Double($1.1)
            }
        }
        return (rows.numbers.map { Float($0) }, norms)
    }

    private func matrix(of vectors: [Float]) throws -> DoubleMatrix {
        let rows = try DoubleMatrix(rows: vectors.count / matrix.dims, columns: matrix.dims)
        for (index, value) in vectors.enumerated() { rows.numbers[index] = Double(value) }
        return rows
    }
}

extension TableView {
    /// What the snapshot's preconditioner of that name says.
    ///
    /// - Throws: `.usage` where there is none.
    package func preconditioner(named name: String) throws -> PreconditionerDocument {
        guard
            let document = preconditioners.first(where: { $0.name.utf8.elementsEqual(name.utf8) })
        else {
            let names = preconditioners.map(\.name).joined(separator: ", ")
            throw GradDBError.usage(
                "table '\(table.name)' has no preconditioner '\(name)'; "
                    + (names.isEmpty
                        ? "make one with `gradctl precondition`" : "it has: \(names)"))
        }
        return document
    }

    /// Opens a preconditioner of the snapshot for queries.
    package func open(_ preconditioner: PreconditionerDocument) -> Preconditioner {
        Preconditioner(self, preconditioner)
    }
}
