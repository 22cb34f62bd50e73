// Which stored blocks of a table are not what was written.

/// What is wrong with a block; a sound one has none.
enum BlockDamage: Sendable {
    /// It is not there, or nothing of it can be believed.
    case lost
    /// Of these rows, counted within the block, the bytes are wrong.
    case rows([Range<Int>])
}

struct TableDamage {
    let table: Table
    /// Of all the table's encodings, by number.
    let codecs: [UInt32: (kind: CodecKind, codec: any Codec)]
    /// Of blocks in all segments and companions.
    private(set) var blocks: [BlockKey: BlockDamage] = [:]
    /// Row groups whose row map is lost, by the base's segment.
    private(set) var rowMaps: [UInt64: Set<Int>] = [:]

    /// Looks at every byte of every block.
    ///
    /// - Parameter table: of a store that is open for inspection.
    /// - Throws: `.interrupted`; damage is found, not thrown.
    init(_ table: Table, threads: Int, _ cancellation: Cancellation) throws {
        self.table = table
        let kernels = try KernelSet.chosen()
        codecs = try table.codecs(kernels)
        for segment in table.allSegments {
            let keys = table.blockKeys(of: segment, codecs)
            let fixed = codecs
            let found = try Parallel.map(keys.count, threads: threads) { index in
                try cancellation.check()
                let key = keys[index]
                guard let (kind, codec) = fixed[key.encoding] else { return BlockDamage?.none }
                return try Self.damage(
                    table.store, key, rows: segment.rows(ofGroup: Int(key.rowGroup)), codec: codec,
                    kind: kind, kernels)
            }
            for (key, damage) in zip(keys, found) { blocks[key] = damage }
            guard segment.base == nil else { continue }
            for group in 0..<segment.rowGroups where !hasRowMap(segment, group) {
                rowMaps[segment.segment, default: []].insert(group)
            }
        }
    }

    /// Whether a segment or companion has a block that is damaged.
    func isDamaged(_ segment: SegmentDocument) -> Bool {
        blocks.keys.contains { $0.segment == segment.segment }
    }

    /// Places of the rows of a row group, in a snapshot's encodings, that cannot be read; nil where that
    /// is none.
    func lostPlaces(_ view: TableView, _ unit: ScanUnit) throws -> Set<Int>? {
        let all = Set(0..<unit.segment.rows(ofGroup: unit.group))
        if rowMaps[unit.segment.segment]?.contains(unit.group) ?? false { return all }
        var lost: Set<Int> = []
        for layer in table.layers {
            for encoding in view.encodings(of: layer) {
                let slabs = codecs[encoding.number]?.codec.geometry.slabCount ?? 0
                for slab in 0..<slabs {
                    switch blocks[
                        view.blockKey(encoding, unit.segment, group: unit.group, slab: slab)]
                    {
                    case .lost?: return all
                    case .rows(let ranges)?: for range in ranges { lost.formUnion(range) }
                    case nil: break
                    }
                }
            }
        }
        return lost.isEmpty ? nil : lost
    }

    private static func damage(
        _ store: RocksStore, _ key: BlockKey, rows: Int, codec: any Codec, kind: CodecKind,
        _ kernels: KernelSet
    ) throws -> BlockDamage? {
        do {
            let block = try BlockReader(
                store, key, rows: rows, codec: codec, kind: kind, kernels: kernels)
            var wrong: [Range<Int>] = []
            block.forEachChunk { chunk in
                if kernels.hash(chunk.bytes) != chunk.checksum { wrong.append(chunk.rows) }
            }
            return wrong.isEmpty ? nil : .rows(wrong)
        } catch let error as GradDBError where error.kind == .corrupt || error.kind == .io {
            return .lost
        }
    }

    private func hasRowMap(_ segment: SegmentDocument, _ group: Int) -> Bool {
        let key = Keys.rowMap(
            table: table.document.table, segment: segment.segment, rowGroup: UInt32(group))
        guard let value = try? table.store.get(.fields, key) else { return false }
        let rows = try? value.withUnsafeBytes {
            try RowMap.decode($0, count: segment.rows(ofGroup: group), what: "")
        }
        return rows?.allSatisfy { $0 < table.head.nextRow } ?? false
    }
}
