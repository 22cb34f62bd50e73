// Rows in memory, laid out as in blocks: each slab of all rows one behind the other.

import GradDB

struct CoresetPool {
    private let rows: [StoredRow]
    private let norms: [Double]
    private let columns: [Column]

    private struct Column {
        let codec: any Codec
        let statistics: [RowStatistics]
        let slabs: [[UInt8]]
    }

    init(_ rows: [StoredRow], squaredNorms: [Double]) throws {
        self.rows = rows
        norms = squaredNorms.map { $0.squareRoot() }
        let count = rows.first?.columns.count ?? 0
        columns = (0..<count).map { column in
            let codec = rows[0].columns[column].codec
            return Column(
                codec: codec,
                statistics: rows.map { $0.columns[column].statistics[$0.index] },
                slabs: (0..<codec.geometry.slabCount).map { slab in
                    let first = slab * SlabGeometry.slabBytes
                    let range = first..<first + codec.geometry.bytes(ofSlab: slab)
                    return rows.flatMap { row in
                        row.columns[column].withRow(row.index) { [UInt8]($0[range]) }
                    }
                })
        }
    }

    /// Cosine distances of all rows from one of them, which is the query, as a scan scores them.
    func distances(from position: Int) -> [Double] {
        var dots = [Double](repeating: 0, count: rows.count)
        for (column, query) in zip(columns, rows[position].query) {
            var sums = [Accumulator](repeating: Accumulator(), count: rows.count)
            sums.withUnsafeMutableBufferPointer { sums in
                guard let sums = sums.baseAddress else { return }
                for (slab, bytes) in column.slabs.enumerated() {
                    bytes.withUnsafeBytes {
                        column.codec.accumulate(
                            $0, rowCount: rows.count, slab: slab, query: query, into: sums)
                    }
                }
                dots.withUnsafeMutableBufferPointer { dots in
                    guard let dots = dots.baseAddress else { return }
                    column.codec.term(of: query, slabs: column.slabs.count)
                        .add(sums, step: 1, rows: column.statistics, to: dots)
                }
            }
        }
        return zip(dots, norms).map {
            CoresetState.distance($0 / ($1 * norms[position]))
        }
    }
}
