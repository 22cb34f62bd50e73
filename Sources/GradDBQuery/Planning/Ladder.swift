// The passes that can estimate a score from fewer bytes than define it: prefixes of slabs, of any
// encoding of the layers that rotates. Each rung reads more than the one before, and errs less.

import GradDB

/// One way to estimate scores.
package struct Rung: Sendable {
    /// Which of the query's tiers it reads.
    package var tier: Int
    package var columns: [ScanColumn]
    /// Bytes that it reads of a row.
    package var rowBytes: Int
    /// Variance of an estimate's error relative to that of random vectors' dot products; what rungs
    /// are compared by.
    package var noise: Double

    /// Such as "bit 1/2".
    package var label: String {
        guard let column = columns.first else { return "" }
        let codecs = Set(columns.map(\.encoding.codec))
        let codec = codecs.count == 1 ? column.encoding.codec.rawValue : "coarser codecs"
        return share == 1 ? codec : "\(codec) 1/\(Int((1 / share).rounded()))"
    }

    /// The share of its encodings' bytes that is read.
    package var share: Double
}

package struct Ladder: Sendable {
    /// Cheapest first.
    package let rungs: [Rung]
    /// What defines the score.
    package let exact: Rung

    package init(_ query: BoundQuery) throws {
        let kernels = try KernelSet.chosen()
        let table = query.view.table
        let targets = query.tiers[0].map(\.codec)
        // How far a coarser float may be off is not stored, so the finest encoding is read in its
        // place; queries are the same floats for all of them.
        let finest = try zip(query.layers, query.tiers[0]).map { layer, encoding in
            (encoding: encoding, codec: try table.codec(layer, encoding.codec, kernels))
        }
        let tiers = try query.tiers.map { tier in
            try tier.enumerated().map { index, encoding in
                let codec = try table.codec(query.layers[index], encoding.codec, kernels)
                return codec.isFloat ? finest[index] : (encoding: encoding, codec: codec)
            }
        }
        func rung(_ tier: Int, parts: Int) -> Rung {
            var rung = Rung(tier: tier, columns: [], rowBytes: 0, noise: 0, share: 1)
            var allBytes = 0
            for (index, layer) in query.layers.enumerated() {
                let (encoding, codec) = tiers[tier][index]
                let count = codec.geometry.slabCount
                // The coordinates of a codec that does not rotate are not alike: all are read.
                let slabs = codec.isFloat ? count : (count + parts - 1) / parts
                rung.columns.append(
                    ScanColumn(
                        layer: layer, encoding: encoding, slabs: slabs, target: targets[index]))
                let bytes = min(codec.rowBytes, slabs * SlabGeometry.slabBytes)
                rung.rowBytes += bytes
                allBytes += codec.rowBytes
                let dims = Double(layer.dims)
                let whole = Double(codec.rowBytes) / Double(bytes)
                let residual = encoding.codec.relativeResidual
                let isExact = encoding.codec == targets[index]
                rung.noise +=
                    (isExact ? whole - 1 : whole * (1 + residual * residual) - 1) / dims
            }
            rung.share = Double(rung.rowBytes) / Double(max(1, allBytes))
            return rung
        }
        let exact = rung(0, parts: 1)
        var candidates: [Rung] = []
        for tier in query.tiers.indices {
            var parts = 1
            while true {
                let next = rung(tier, parts: parts)
                // Twice as many parts that read as much: there is nothing left to halve.
                if let last = candidates.last, last.tier == tier, last.rowBytes == next.rowBytes {
                    break
                }
                candidates.append(next)
                parts *= 2
            }
        }
        self.exact = exact
        // Of rungs that cost the same or more, those that err less; and none near the exact scan.
        var rungs: [Rung] = []
        for rung in candidates.sorted(by: { ($0.rowBytes, $0.noise) < ($1.rowBytes, $1.noise) })
        where 4 * rung.rowBytes <= 3 * exact.rowBytes && rung.noise > 0 {
            if let last = rungs.last, rung.noise >= last.noise { continue }
            rungs.append(rung)
        }
        self.rungs = rungs
    }
}
