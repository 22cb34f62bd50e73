// The blocks of a segment in pieces, each an object of a backup: some row groups that follow each
// other, cut by what the catalog says alone, so that every backup cuts them the same way.

/// Some row groups of a segment.
struct SegmentPiece: Sendable {
    let table: UInt32
    let segment: SegmentDocument
    let groups: Range<Int>
    /// Codecs by the number of the encoding.
    fileprivate let codecs: [UInt32: PieceCodec]

    /// A piece ends when it has grown to this.
    private static let targetBytes = 64 << 20

    fileprivate struct PieceCodec: Sendable {
        let kind: CodecKind
        let codec: any Codec
    }

    /// The pieces of all segments of a table, in the order of their keys.
    ///
    /// - Throws: `.corrupt`.
    static func all(of table: Table, kernels: KernelSet) throws -> [SegmentPiece] {
        var codecs: [UInt32: PieceCodec] = [:]
        for layer in table.layers {
            for encoding in layer.encodings {
                codecs[encoding.number] = PieceCodec(
                    kind: encoding.codec, codec: try table.codec(layer, encoding.codec, kernels))
            }
        }
        return try table.allSegments.sorted { $0.segment < $1.segment }.flatMap { segment in
            guard segment.encodings.allSatisfy({ codecs[$0.encoding] != nil }) else {
                throw GradDBError.corrupt(
                    "segment \(segment.segment) of table '\(table.name)' has an unknown encoding")
            }
            let whole = SegmentPiece(
                table: table.document.table, segment: segment, groups: 0..<segment.rowGroups,
                codecs: codecs)
            let groupBytes = whole.bytes(ofGroup: 0)
            let step = max(1, targetBytes / max(1, groupBytes))
            return stride(from: 0, to: segment.rowGroups, by: step).map { first in
                SegmentPiece(
                    table: whole.table, segment: segment,
                    groups: first..<min(segment.rowGroups, first + step), codecs: codecs)
            }
        }
    }

    /// Bytes of its entries.
    var contentBytes: UInt64 { groups.reduce(0) { $0 + UInt64(bytes(ofGroup: $1)) } }

    private func bytes(ofGroup group: Int) -> Int {
        let rows = segment.rows(ofGroup: group)
        return segment.encodings.reduce(0) { sum, part in
            guard let geometry = codecs[part.encoding]?.codec.geometry else { return sum }
            return (0..<geometry.slabCount).reduce(sum) { sum, slab in
                let layout = BlockLayout(
                    rows: rows, stride: geometry.bytes(ofSlab: slab), hasStatistics: slab == 0)
                return sum + EntryBytes.headBytes + BlockKey.byteCount + layout.byteCount
            }
        }
    }

    /// What names the piece, and changes with its vectors: made of the numbers of its row groups, and
    /// of header and chunk checksums of the first block of each row group in each encoding.
    func seal(in store: RocksStore, kernels: KernelSet) throws -> UInt64 {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: table)
        bytes.append(littleEndian: segment.segment)
        bytes.append(littleEndian: UInt32(groups.lowerBound))
        bytes.append(littleEndian: UInt32(groups.count))
        try forEachBlock(slabs: 1) { key, rows, codec in
            let layout = BlockLayout(
                rows: rows, stride: codec.codec.geometry.bytes(ofSlab: 0), hasStatistics: true)
            guard let value = try store.pinned(.blocks, key.bytes) else {
                throw GradDBError.corrupt("\(key) is missing")
            }
            try value.withBytes { block in
                guard block.count == layout.byteCount else {
                    throw GradDBError.corrupt("\(key) does not match the catalog")
                }
                bytes.append(contentsOf: block[..<BlockLayout.headerBytes])
                bytes.append(contentsOf: block[layout.checksumsOffset...])
            }
        }
        return bytes.withUnsafeBytes { kernels.hash($0) }
    }

    /// Calls `body` with each block, verified, in the order of their keys.
    ///
    /// - Throws: `.corrupt`, what `body` throws.
    func forEachVerifiedBlock(
        in store: RocksStore, kernels: KernelSet,
        _ body: (_ key: BlockKey, _ value: UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try forEachBlock(slabs: .max) { key, rows, codec in
            do {
                let block = try BlockReader(
                    store, key, rows: rows, codec: codec.codec, kind: codec.kind, kernels: kernels)
                try block.verifyAll(kernels: kernels)
            }
            guard let value = try store.pinned(.blocks, key.bytes) else {
                throw GradDBError.corrupt("\(key) is missing")
            }
            try value.withBytes { try body(key, $0) }
        }
    }

    private func forEachBlock(
        slabs: Int, _ body: (_ key: BlockKey, _ rows: Int, _ codec: PieceCodec) throws -> Void
    ) throws {
        for group in groups {
            for part in segment.encodings {
                guard let codec = codecs[part.encoding] else { continue }
                for slab in 0..<min(slabs, codec.codec.geometry.slabCount) {
                    let key = BlockKey(
                        table: table, segment: segment.segment, rowGroup: UInt32(group),
                        encoding: part.encoding, slab: UInt32(slab))
                    try body(key, segment.rows(ofGroup: group), codec)
                }
            }
        }
    }
}
