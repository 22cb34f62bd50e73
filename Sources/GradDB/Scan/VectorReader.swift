// Reading vectors by id: what is stored, decoded. Rows are found in the row maps, then each row
// group is visited once, by one thread, whatever the order of the ids.

/// Reads the vectors of one layer at one checkpoint of a snapshot.
package struct VectorReader: Sendable {
    private let view: TableView
    private let layer: Layer
    private let checkpoint: CheckpointDocument
    private let encoding: LayerEncoding
    private let codec: any Codec
    private let kernels: KernelSet

    /// Of the layer's finest encoding in the snapshot.
    package init(_ view: TableView, layer: Layer, checkpoint: CheckpointDocument) throws {
        self.view = view
        self.layer = layer
        self.checkpoint = checkpoint
        kernels = try KernelSet.chosen()
        encoding = try view.finestEncoding(of: layer)
        codec = try view.table.codec(layer, encoding.codec, kernels)
    }

    /// Decodes the vectors of `ids` into `target`, `ids.count` x `dims` floats, row i for id i. An
    /// id may come several times.
    ///
    /// - Throws: `.notFound` with the first id that the snapshot does not have, or that has no
    ///   vector at the checkpoint; `.corrupt`, `.io`.
    package func read(
        _ ids: [RowID], into target: UnsafeMutableBufferPointer<Float>, threads: Int,
        cancellation: Cancellation = Cancellation()
    ) throws {
        precondition(target.count == ids.count * layer.dims)
        let groups = try find(ids, cancellation)
        let target = Target(floats: target)
        try Parallel.forEach(groups.count, threads: threads) { index, _ in
            try cancellation.check()
            try read(groups[index], into: target.floats)
        }
    }

    /// Workers write to different rows.
    private struct Target: @unchecked Sendable {
        let floats: UnsafeMutableBufferPointer<Float>
    }

    /// Rows of one row group, and where they go.
    private struct Group: Sendable {
        let segment: SegmentDocument
        let number: Int
        /// Ascending by place within the group.
        var places: [(index: Int, target: Int)] = []
    }

    private func find(_ ids: [RowID], _ cancellation: Cancellation) throws -> [Group] {
        var wanted: [UInt64: [Int]] = [:]
        for (position, id) in ids.enumerated() {
            guard let row = try view.row(of: id) else {
                throw GradDBError(
                    .notFound, "table '\(view.table.name)' has no row with the id \(named(id))")
            }
            wanted[row, default: []].append(position)
        }
        var groups: [Group] = []
        for segment in view.segments(of: checkpoint)
        where wanted.keys.contains(where: { segment.firstRow <= $0 && $0 <= segment.lastRow }) {
            for number in 0..<segment.rowGroups where !wanted.isEmpty {
                try cancellation.check()
                var group = Group(segment: segment, number: number)
                for (index, row) in try view.rowMap(segment, group: number).enumerated() {
                    guard let positions = wanted.removeValue(forKey: row) else { continue }
                    group.places += positions.map { (index, $0) }
                }
                if !group.places.isEmpty { groups.append(group) }
            }
        }
        if let missing = wanted.values.joined().min() {
            throw GradDBError(
                .notFound,
                "the row with the id \(named(ids[missing])) has no vector at checkpoint "
                    + "'\(checkpoint.name)' of table '\(view.table.name)'")
        }
        return groups
    }

    private func named(_ id: RowID) -> String {
        switch id {
        case .int(let number): "\(number)"
        case .string(let text): Excerpt.quoted(text)
        }
    }

    private func read(_ group: Group, into target: UnsafeMutableBufferPointer<Float>) throws {
        let rows = UnsafeMutableRawBufferPointer.allocate(
            byteCount: group.places.count * codec.rowBytes, alignment: 64)
        defer { rows.deallocate() }
        var statistics: [RowStatistics] = []
        for slab in 0..<codec.geometry.slabCount {
            let block = try BlockReader(
                view.store, view.blockKey(encoding, group.segment, group: group.number, slab: slab),
                rows: group.segment.rows(ofGroup: group.number), codec: codec, kind: encoding.codec,
                kernels: kernels)
            if slab == 0 { statistics = block.statistics() }
            try copy(block, slab: slab, group, into: rows)
        }
        for (number, place) in group.places.enumerated() {
            let start = number * codec.rowBytes
            let floats = place.target * layer.dims
            codec.decode(
                UnsafeRawBufferPointer(rebasing: rows[start..<start + codec.rowBytes]),
                statistics[place.index],
                into: UnsafeMutableBufferPointer(rebasing: target[floats..<floats + layer.dims]))
        }
    }

    /// Verifies the chunks that hold the group's places, and copies their rows.
    private func copy(
        _ block: borrowing BlockReader, slab: Int, _ group: Group,
        into rows: UnsafeMutableRawBufferPointer
    ) throws {
        let stride = block.layout.stride
        var remaining = group.places.indices[...]
        try block.forEachChunk(holding: group.places.lazy.map(\.index)) { chunk in
            try block.verify(chunk, hash: kernels.hash(chunk.bytes))
            while let number = remaining.first,
                group.places[number].index < chunk.rows.upperBound
            {
                remaining.removeFirst()
                let source = (group.places[number].index - chunk.rows.lowerBound) * stride
                let start = number * codec.rowBytes + slab * SlabGeometry.slabBytes
                UnsafeMutableRawBufferPointer(rebasing: rows[start..<start + stride]).copyMemory(
                    from: UnsafeRawBufferPointer(
                        rebasing: chunk.bytes[source..<source + stride]))
            }
        }
    }
}
