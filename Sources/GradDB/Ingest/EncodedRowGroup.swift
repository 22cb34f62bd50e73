// The blocks of one row group in memory, laid out as they will be stored.

/// One block's place in the group's buffer.
package struct BlockSlot: Sendable {
    package var key: BlockKey
    package var codec: CodecKind
    package var layout: BlockLayout
    package var dims: Int
    package var firstDim: Int
    package var offset: Int
}

/// A buffer that holds all blocks of a row group, in key order. Reused from group to group.
package final class EncodedRowGroup: @unchecked Sendable {
    // Workers write disjoint parts; the owner hands it on only after they have been joined.
    package private(set) var slots: [BlockSlot] = []
    /// Slots of each encoding, by slab.
    private var slotsOfEncoding: [Range<Int>] = []
    private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

    package init() {}

    deinit { buffer.deallocate() }

    /// Lays out the blocks for a group of `rows` rows, in encodings with ascending numbers.
    package func prepare(
        table: UInt32, segment: UInt64, rowGroup: UInt32, rows: Int, encodings: [TargetEncoding]
    ) {
        slots.removeAll(keepingCapacity: true)
        slotsOfEncoding.removeAll(keepingCapacity: true)
        var offset = 0
        for encoding in encodings {
            let codec = encoding.codec
            let first = slots.count
            let geometry = codec.geometry
            for slab in 0..<geometry.slabCount {
                let layout = BlockLayout(
                    rows: rows, stride: geometry.bytes(ofSlab: slab), hasStatistics: slab == 0)
                slots.append(
                    BlockSlot(
                        key: BlockKey(
                            table: table, segment: segment, rowGroup: rowGroup,
                            encoding: encoding.number, slab: UInt32(slab)),
                        codec: encoding.kind, layout: layout, dims: codec.dims(ofSlab: slab),
                        firstDim: codec.firstDim(ofSlab: slab), offset: offset))
                offset += (layout.byteCount + 63) & ~63
            }
            slotsOfEncoding.append(first..<slots.count)
        }
        if buffer.count < offset {
            buffer.deallocate()
            buffer = .allocate(byteCount: offset, alignment: 64)
        }
    }

    /// All bytes of a block.
    package func block(_ slot: BlockSlot) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(
            rebasing: buffer[slot.offset..<slot.offset + slot.layout.byteCount])
    }

    /// Bytes of the blocks, by encoding.
    package var bytesOfEncodings: [UInt32: UInt64] {
        slots.reduce(into: [:]) { $0[$1.key.encoding, default: 0] += UInt64($1.layout.byteCount) }
    }

    /// Stores one encoded row: its slabs into the blocks of its encoding (by position in what
    /// `prepare` was given), its statistics into slab 0.
    package func store(
        _ encoded: UnsafeRawBufferPointer, _ statistics: RowStatistics, encoding: Int, row: Int
    ) {
        var start = 0
        for index in slotsOfEncoding[encoding] {
            let slot = slots[index]
            let block = block(slot)
            let stride = slot.layout.stride
            let target = slot.layout.payloadOffset + row * stride
            UnsafeMutableRawBufferPointer(rebasing: block[target..<target + stride])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: encoded[start..<start + stride]))
            start += stride
            if slot.layout.hasStatistics {
                statistics.store(to: block, row: row)
            }
        }
    }

    /// Takes rows over from a stored block, once their chunks are verified.
    ///
    /// - Parameters:
    ///   - places: of the rows in the block, ascending.
    ///   - first: where the first of them goes; the others follow it.
    ///   - slot: the block of this group that is of the same encoding and slab.
    package func copyRows(
        of source: borrowing BlockReader, at places: [Int], to first: Int, slot: Int,
        kernels: KernelSet
    ) throws {
        let layout = slots[slot].layout
        let target = block(slots[slot])
        if layout.hasStatistics {
            let statistics = source.statistics()
            for (index, place) in places.enumerated() {
                statistics[place].store(to: target, row: first + index)
            }
        }
        var next = 0
        try source.forEachChunk(holding: places) { chunk in
            try source.verify(chunk, hash: kernels.hash(chunk.bytes))
            while next < places.count, places[next] < chunk.rows.upperBound {
                let start = (places[next] - chunk.rows.lowerBound) * layout.stride
                let end = layout.payloadOffset + (first + next) * layout.stride
                UnsafeMutableRawBufferPointer(rebasing: target[end..<end + layout.stride])
                    .copyMemory(
                        from: UnsafeRawBufferPointer(
                            rebasing: chunk.bytes[start..<start + layout.stride]))
                next += 1
            }
        }
    }

    /// The first `rows` rows, laid out as a group of so many; checksums and headers are not there.
    package func prefix(rows: Int, encodings: [TargetEncoding]) -> EncodedRowGroup {
        let short = EncodedRowGroup()
        guard let key = slots.first?.key else { return short }
        short.prepare(
            table: key.table, segment: key.segment, rowGroup: key.rowGroup, rows: rows,
            encodings: encodings)
        for (whole, part) in zip(slots, short.slots) {
            let source = block(whole)
            let target = short.block(part)
            func copy(_ count: Int, from start: Int, to place: Int) {
                UnsafeMutableRawBufferPointer(rebasing: target[place..<place + count])
                    .copyMemory(
                        from: UnsafeRawBufferPointer(rebasing: source[start..<start + count]))
            }
            if part.layout.hasStatistics {
                let start = BlockLayout.headerBytes
                copy(rows * BlockLayout.statisticsBytesPerRow, from: start, to: start)
            }
            copy(
                rows * part.layout.stride, from: whole.layout.payloadOffset,
                to: part.layout.payloadOffset)
        }
        return short
    }

    /// Computes checksums and headers of all blocks, once their rows are stored.
    package func seal(kernels: KernelSet, threads: Int) throws {
        try Parallel.forEach(slots.count, threads: threads) { [self] index, _ in
            seal(slots[index], kernels: kernels)
        }
    }

    /// The sums of the content of rows (format-spec/versions.md), by encoding, once they are stored.
    ///
    /// - Parameters:
    ///   - ids: by row, the hashes of their ids; nil leaves a row out.
    ///   - checkpoint: the hash of its name.
    package func contentSums(
        ids: [UInt64?], checkpoint: UInt64, kernels: KernelSet, threads: Int
    ) throws -> [UInt32: UInt64] {
        let content = ContentHash(kernels)
        let rowsPerTile = 64
        let tiles = (ids.count + rowsPerTile - 1) / rowsPerTile
        let parts = try Parallel.map(tiles, threads: threads) { [self] tile in
            var sums = [UInt64](repeating: 0, count: slotsOfEncoding.count)
            for row in tile * rowsPerTile..<min(ids.count, (tile + 1) * rowsPerTile) {
                guard let id = ids[row] else { continue }
                for (encoding, slots) in slotsOfEncoding.enumerated() {
                    let first = UnsafeRawBufferPointer(block(self.slots[slots.lowerBound]))
                    sums[encoding] &+= content.vector(
                        id: id, checkpoint: checkpoint, RowStatistics(loading: first, row: row),
                        slabs: self.slots[slots].lazy.map { slot in
                            let start = slot.layout.payloadOffset + row * slot.layout.stride
                            return UnsafeRawBufferPointer(
                                rebasing: self.block(slot)[start..<start + slot.layout.stride])
                        })
                }
            }
            return sums
        }
        return slotsOfEncoding.enumerated().reduce(into: [:]) { sums, encoding in
            sums[slots[encoding.element.lowerBound].key.encoding] = parts.reduce(0) {
                $0 &+ $1[encoding.offset]
            }
        }
    }

    private func seal(_ slot: BlockSlot, kernels: KernelSet) {
        let block = block(slot)
        let layout = slot.layout
        for chunk in 0..<layout.chunkCount {
            let bytes = block[layout.bytes(ofRows: layout.rows(ofChunk: chunk))]
            block.storeBytes(
                of: kernels.hash(UnsafeRawBufferPointer(rebasing: bytes)).littleEndian,
                toByteOffset: layout.checksumsOffset + chunk * 8, as: UInt64.self)
        }
        var norms = 0.0...0.0
        if layout.hasStatistics, layout.rows > 0 {
            let all = (0..<layout.rows).map {
                RowStatistics(loading: UnsafeRawBufferPointer(block), row: $0).squaredNorm
            }
            norms = (all.min() ?? 0)...(all.max() ?? 0)
        }
        BlockHeader(
            codec: slot.codec.number, key: slot.key, dims: slot.dims, firstDim: slot.firstDim,
            layout: layout, squaredNorms: norms
        ).write(to: block, hash: kernels.hash)
    }
}

extension RowStatistics {
    // 16 bytes a row: scale f32, residual norm f32, squared norm f64.

    package func store(to block: UnsafeMutableRawBufferPointer, row: Int) {
        store(
            toBytes: block,
            at: BlockLayout.headerBytes + row * BlockLayout.statisticsBytesPerRow)
    }

    package func store(toBytes block: UnsafeMutableRawBufferPointer, at offset: Int) {
        block.storeBytes(of: scale.bitPattern.littleEndian, toByteOffset: offset, as: UInt32.self)
        block.storeBytes(
            of: residualNorm.bitPattern.littleEndian, toByteOffset: offset + 4, as: UInt32.self)
        block.storeBytes(
            of: squaredNorm.bitPattern.littleEndian, toByteOffset: offset + 8, as: UInt64.self)
    }

    package init(loading block: UnsafeRawBufferPointer, row: Int) {
        let offset = BlockLayout.headerBytes + row * BlockLayout.statisticsBytesPerRow
        scale = Float(
            bitPattern: UInt32(
                littleEndian: block.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
        residualNorm = Float(
            bitPattern: UInt32(
                littleEndian: block.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)))
        squaredNorm = Double(
            bitPattern: UInt64(
                littleEndian: block.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)))
    }
}
