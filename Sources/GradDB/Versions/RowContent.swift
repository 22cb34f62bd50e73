// The content of some rows of a snapshot: their records, and their vectors at all checkpoints in all
// encodings.

struct RowContent {
    private let view: TableView
    private let threads: Int
    private let cancellation: Cancellation
    private let kernels: KernelSet
    private let columns: [ScanColumn]
    private let copier: RowCopier

    init(_ view: TableView, _ threads: Int, _ cancellation: Cancellation) throws {
        self.view = view
        self.threads = threads
        self.cancellation = cancellation
        kernels = try KernelSet.chosen()
        columns = try view.table.layers.flatMap { layer in
            try view.encodings(of: layer).map { encoding in
                let codec = try view.table.codec(layer, encoding.codec, try KernelSet.chosen())
                return ScanColumn(layer, allOf: encoding, codec)
            }
        }
        copier = try RowCopier(view, columns)
    }

    /// - Parameters:
    ///   - segments: those whose vectors are not looked at.
    ///   - progress: told now and then how much is done, of 1.
    /// - Throws: `.corrupt` for rows that cannot be read.
    func sums(
        of rows: DeletedRows, leavingOut segments: Set<UInt64> = [],
        _ progress: (Double) -> Void = { _ in }
    ) throws -> ContentSums {
        var sums = ContentSums()
        let content = ContentHash(kernels)
        try rows.forEachRow { row in
            try cancellation.check()
            sums.records &+= content.record(try view.record(row: row).encode())
        }
        let names = try ViewContent(view, kernels)
        for (done, checkpoint) in view.checkpoints.enumerated() {
            let units = view.units(of: checkpoint).filter {
                !segments.contains($0.segment.segment)
            }
            // Some at a time: their ids are looked up by one thread.
            let step = max(1, threads) * 4
            for start in stride(from: 0, to: units.count, by: step) {
                try cancellation.check()
                let parts = try units[start..<min(units.count, start + step)].compactMap {
                    try part($0, rows, names)
                }
                let hash = names.checkpoint(checkpoint.checkpoint)
                let found = try Parallel.map(parts.count, threads: threads) { index in
                    try self.sums(of: parts[index], checkpoint: hash)
                }
                for part in found {
                    sums.encodings.merge(part, uniquingKeysWith: &+)
                }
                let share = Double(start) / Double(max(1, units.count))
                progress((Double(done) + share) / Double(view.checkpoints.count))
            }
        }
        return sums
    }

    /// The rows of a row group that are meant.
    private struct Part: Sendable {
        var unit: ScanUnit
        var places: [Int] = []
        var ids: [UInt64] = []
    }

    private func part(
        _ unit: ScanUnit, _ rows: DeletedRows, _ names: ViewContent
    ) throws -> Part? {
        var part = Part(unit: unit)
        for (place, row) in try view.rowMap(unit.segment, group: unit.group).enumerated()
        where rows.contains(row) {
            part.places.append(place)
            part.ids.append(try names.id(of: row))
        }
        return part.places.isEmpty ? nil : part
    }

    private func sums(of part: Part, checkpoint: UInt64) throws -> [UInt32: UInt64] {
        let content = ContentHash(kernels)
        let copies = try copier.copy(part.unit, part.places)
        return zip(columns, copies).reduce(into: [:]) { sums, column in
            let (column, rows) = column
            let geometry = rows.codec.geometry
            var sum: UInt64 = 0
            for (index, id) in part.ids.enumerated() {
                rows.withRow(index) { bytes in
                    let slabs = (0..<geometry.slabCount).lazy.map { slab in
                        let start = slab * SlabGeometry.slabBytes
                        return UnsafeRawBufferPointer(
                            rebasing: bytes[start..<start + geometry.bytes(ofSlab: slab)])
                    }
                    sum &+= content.vector(
                        id: id, checkpoint: checkpoint, rows.statistics[index], slabs: slabs)
                }
            }
            sums[column.encoding.number, default: 0] &+= sum
        }
    }
}
