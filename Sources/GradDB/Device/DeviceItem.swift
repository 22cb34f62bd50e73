// How the blocks of one row group and encoding lie in a device's memory: statistics, then slab after
// slab, without headers and checksums, rows at multiples of sixteen bytes.

import CGradKernels

/// Sizes of the items of one encoding. Pure arithmetic.
package struct DeviceItemLayout: Equatable, Sendable {
    package let geometry: SlabGeometry
    package let bitsPerElement: Int

    package init(_ codec: any Codec) {
        geometry = codec.geometry
        bitsPerElement = codec.bitsPerElement
    }

    package var slabs: Int { geometry.slabCount }

    /// Bytes from row to row.
    package func pitch(ofSlab slab: Int) -> Int {
        geometry.bytes(ofSlab: slab).roundedUp(to: Int(GD_ROW_ALIGNMENT))
    }

    package func slabBytes(rows: Int, slab: Int) -> Int {
        (rows * pitch(ofSlab: slab)).roundedUp(to: Int(GD_SLAB_ALIGNMENT))
    }

    package func statisticsBytes(rows: Int) -> Int {
        (rows * BlockLayout.statisticsBytesPerRow).roundedUp(to: Int(GD_SLAB_ALIGNMENT))
    }

    /// Where a slab begins within an item.
    package func offset(ofSlab slab: Int, rows: Int) -> Int {
        // All slabs but the last are alike.
        statisticsBytes(rows: rows) + (slab > 0 ? slab * slabBytes(rows: rows, slab: 0) : 0)
    }

    package func byteCount(rows: Int) -> Int {
        offset(ofSlab: slabs - 1, rows: rows) + slabBytes(rows: rows, slab: slabs - 1)
    }

    /// Elements of a query, with the zeros behind the last.
    package var queryElements: Int {
        let full = SlabGeometry.slabBytes * 8 / bitsPerElement
        return (slabs - 1) * full + pitch(ofSlab: slabs - 1) * 8 / bitsPerElement
    }
}

/// Which row group of which encoding of which database.
package struct DeviceItemKey: Hashable, Sendable {
    /// `RocksStore.identity`: a device outlives handles.
    package var database: String
    /// The first of its blocks.
    package var block: BlockKey

    package init(database: String, block: BlockKey) {
        self.database = database
        self.block = block
    }

    init(_ view: TableView, _ encoding: LayerEncoding, _ unit: ScanUnit) {
        database = view.store.identity
        block = view.blockKey(encoding, unit.segment, group: unit.group, slab: 0)
    }
}

extension BlockReader {
    /// Copies rows, and verifies them on the way unless they have been verified before.
    ///
    /// - Parameter target: `layout.rows` times `pitch` bytes.
    /// - Throws: `.corrupt`.
    borrowing func stage(
        into target: UnsafeMutableRawPointer, pitch: Int, kernels: KernelSet
    ) throws {
        let stride = layout.stride
        try forEachChunk { chunk in
            if !isVerified { try verify(chunk, hash: kernels.hash(chunk.bytes)) }
            guard let source = chunk.bytes.baseAddress else { return }
            var place = target + chunk.rows.lowerBound * pitch
            guard pitch != stride else {
                place.copyMemory(from: source, byteCount: chunk.bytes.count)
                return
            }
            for row in 0..<chunk.rows.count {
                place.copyMemory(from: source + row * stride, byteCount: stride)
                (place + stride).initializeMemory(
                    as: UInt8.self, repeating: 0, count: pitch - stride)
                place += pitch
            }
        }
    }
}
