// Blocks of a damaged database, brought into a new one: files whose blocks are all sound get a second
// name, of others what is sound is written anew.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

struct BlockRescue {
    private let damage: TableDamage
    private let target: RocksStore
    private let cancellation: Cancellation
    private let directory: String
    private let files: [LiveFile]

    private var table: Table { damage.table }

    /// - Parameter path: of the damaged database.
    init(
        _ damage: TableDamage, from path: String, to target: RocksStore,
        _ cancellation: Cancellation
    ) {
        self.damage = damage
        self.target = target
        self.cancellation = cancellation
        directory = target.path + "/staging"
        files = damage.table.store.liveFiles()
            .filter { $0.family == ColumnFamily.blocks.rawValue }
    }

    func run() throws {
        try DurableFiles.makeDirectory(directory)
        for segment in table.allSegments where !segment.encodings.isEmpty {
            try cancellation.check()
            if try !link(segment) { try write(segment) }
        }
    }

    /// False where the segment's files are damaged, or shared with others, or of a kind that cannot be
    /// taken over.
    private func link(_ segment: SegmentDocument) throws -> Bool {
        guard !damage.isDamaged(segment) else { return false }
        let id = table.document.table
        let first = Keys.segmentPrefix(table: id, segment: segment.segment)
        let end = Keys.segmentPrefix(table: id, segment: segment.segment + 1)
        let own = files.filter { file in
            !file.largest.lexicographicallyPrecedes(first)
                && file.smallest.lexicographicallyPrecedes(end)
        }
        guard
            own.allSatisfy({ file in
                !file.smallest.lexicographicallyPrecedes(first)
                    && file.largest.lexicographicallyPrecedes(end)
            })
        else { return false }
        let links = own.indices.map { "\(directory)/\(segment.segment)-\($0).sst" }
        for (file, link) in zip(own, links) { try DurableFiles.link(file.path, to: link) }
        do {
            try target.ingest(links, into: .blocks)
            return true
        } catch let error as GradDBError where error.kind == .corrupt {
            // What RocksDB has written itself cannot be attached.
            for link in links { try? FileManager.default.removeItem(atPath: link) }
            return false
        }
    }

    private func write(_ segment: SegmentDocument) throws {
        let keys = table.blockKeys(of: segment, damage.codecs).filter { key in
            // Of a block with some bad chunks the others can still be read.
            if case .lost? = damage.blocks[key] { false } else { true }
        }
        guard !keys.isEmpty else { return }
        let path = "\(directory)/\(segment.segment).sst"
        let file = try SSTWriter(path: path)
        for key in keys {
            try cancellation.check()
            guard let value = try table.store.pinned(.blocks, key.bytes) else { continue }
            try value.withBytes { try file.put(key.bytes, $0) }
        }
        try file.finish()
        try target.ingest([path], into: .blocks)
    }
}
