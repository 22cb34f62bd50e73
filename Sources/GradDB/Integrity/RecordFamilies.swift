// Lets RocksDB verify its own checksums over everything but blocks. What it cannot read is passed
// over as far as the next file begins, so that each broken file is found.

struct RecordFamilies {
    private let store: RocksStore
    private let cancellation: Cancellation

    init(_ store: RocksStore, _ cancellation: Cancellation) {
        self.store = store
        self.cancellation = cancellation
    }

    func findings() throws -> [Finding] {
        let files = store.liveFiles()
        // Where blocks are found by RocksDB alone, it verifies them too.
        let families = ColumnFamily.records + (store.blockFiles == nil ? [.blocks] : [])
        return try families.flatMap { family in
            let starts = files.filter { $0.family == family.rawValue }.map(\.smallest)
                .sorted { $0.lexicographicallyPrecedes($1) }
            return try messages(family, starts).map {
                Finding(.file, "\(family.rawValue): \($0)")
            }
        }
    }

    private func messages(_ family: ColumnFamily, _ starts: [[UInt8]]) throws -> [String] {
        var messages: [String] = []
        var start: [UInt8]? = []
        while let from = start {
            var reached = from
            do {
                try store.forEach(family, prefix: [], from: from, includingRanges: true) { key, _ in
                    reached.removeAll(keepingCapacity: true)
                    reached.append(contentsOf: key)
                    return !cancellation.isCancelled
                }
                start = nil
            } catch let error as GradDBError where error.isDamage {
                if !messages.contains(error.message) { messages.append(error.message) }
                start = starts.first { reached.lexicographicallyPrecedes($0) }
            }
            try cancellation.check()
        }
        return messages
    }
}
