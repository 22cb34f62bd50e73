// Blocks read without RocksDB are those that RocksDB has, however they came to be stored: attached,
// several to a part of a file or one, written, overwritten, deleted, compacted, still in the log.

import Foundation
import GradDB
import Testing

@Suite struct BlockFilesTests {
    /// A database that is written to, and what it should hold.
    private final class Model {
        let database: TestDatabase
        var values: [[UInt8]: [UInt8]] = [:]
        var everKeys: Set<[UInt8]> = []
        var random: SeededRandom
        private var segments: [UInt64]

        init(seed: UInt64) throws {
            database = try TestDatabase()
            random = SeededRandom(seed: seed)
            segments = (1...200).shuffled(using: &random)
        }

        private func newKeys() -> [[UInt8]] {
            guard let segment = segments.popLast() else { return [] }
            let slabs = UInt32.random(in: 1...6, using: &random)
            return (0..<UInt32.random(in: 1...6, using: &random)).flatMap { group in
                (0..<slabs).map { slab in
                    BlockKey(
                        table: 1, segment: segment, rowGroup: group, encoding: 0, slab: slab
                    ).bytes
                }
            }
        }

        private func value() -> [UInt8] {
            // About RocksDB's 4 KiB: several share a part of the file, or there is one to each.
            let size = [0...10, 100...900, 3_000...5_000, 20_000...70_000].randomElement(
                using: &random)
            let byte = UInt8.random(in: 0...255, using: &random)
            return (0..<Int.random(in: size ?? 0...0, using: &random)).map {
                byte &+ UInt8(truncatingIfNeeded: $0 &* 7)
            }
        }

        func change() throws {
            let store = try RocksStore(path: database.path, mode: .writing)
            for _ in 0..<Int.random(in: 1...3, using: &random) { try change(store) }
        }

        private func change(_ store: RocksStore) throws {
            let batch = WriteBatch(store)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<4:
                let path = database.directory.file("\(UUID().uuidString).sst")
                let writer = try SSTWriter(path: path)
                let entries = newKeys().map { ($0, value()) }
                for (key, value) in entries {
                    try value.withUnsafeBytes { try writer.put(key, $0) }
                }
                try writer.finish()
                do {
                    try store.ingest([path], into: .blocks)
                    for (key, value) in entries { remember(key, value) }
                } catch let error as GradDBError
                    where error.message.contains("Global seqno")
                    || error.message.contains("requires flush")
                {
                    // Not into a range that was deleted: no segment is used again.
                }
            case 4:
                for key in newKeys() + everKeys.sorted(by: precedes).prefix(2) {
                    let value = value()
                    batch.put(.blocks, key, value)
                    remember(key, value)
                }
            case 5:
                guard let key = everKeys.sorted(by: precedes).randomElement(using: &random) else {
                    return
                }
                batch.delete(.blocks, key)
                values[key] = nil
            case 6:
                let first = UInt64.random(in: 1...200, using: &random)
                let end = first + UInt64.random(in: 1...20, using: &random)
                let start = Keys.segmentPrefix(table: 1, segment: first)
                let limit = Keys.segmentPrefix(table: 1, segment: end)
                batch.deleteBlocks(from: start, to: limit)
                values = values.filter { precedes($0.key, start) || !precedes($0.key, limit) }
            case 7: store.compact(.blocks)
            default: try store.flush([.blocks])
            }
            try store.write(batch, sync: false)
        }

        private func remember(_ key: [UInt8], _ value: [UInt8]) {
            values[key] = value
            everKeys.insert(key)
        }

        private func precedes(_ a: [UInt8], _ b: [UInt8]) -> Bool { a.lexicographicallyPrecedes(b) }

        func expectAll(
            in store: RocksStore, are expected: [[UInt8]: [UInt8]], _ what: Comment
        ) throws {
            for key in everKeys {
                let found = try store.pinned(.blocks, key)?.withBytes { [UInt8]($0) }
                #expect(found == expected[key], what)
                var other = key
                other[Int.random(in: 0..<key.count, using: &random)] &+= 1
                guard !everKeys.contains(other) else { continue }
                #expect(try store.pinned(.blocks, other) == nil, what)
            }
        }
    }

    @Test func blocksAreFoundHoweverTheyWereStored() throws {
        for _ in 0..<2 {
            let seed = UInt64.random(in: 0 ... .max)
            let model = try Model(seed: seed)
            for step in 0..<12 {
                // What it sees stays, whatever a writer does to files meanwhile.
                let before = (
                    store: try RocksStore(path: model.database.path, mode: .reading),
                    values: model.values
                )
                try model.change()
                let what: Comment = "seed \(seed), step \(step)"
                try model.expectAll(in: before.store, are: before.values, what)
                let mode: RocksStore.Mode = step % 2 == 0 ? .reading : .inspecting
                try model.expectAll(
                    in: try RocksStore(path: model.database.path, mode: mode), are: model.values,
                    what)
            }
        }
    }

    @Test func aFileThatIsMissingOrCutShortIsSaidAtOnceOrWhereItIsNeeded() throws {
        let database = try TestDatabase()
        var keys: [[UInt8]] = []
        do {
            let store = try RocksStore(path: database.path, mode: .writing)
            for segment in 1...3 as ClosedRange<UInt64> {
                let key = BlockKey(
                    table: 1, segment: segment, rowGroup: 0, encoding: 0, slab: 0
                ).bytes
                let writer = try SSTWriter(path: database.directory.file("\(segment).sst"))
                try [UInt8](repeating: 7, count: 9_000).withUnsafeBytes { try writer.put(key, $0) }
                try writer.finish()
                try store.ingest([writer.path], into: .blocks)
                keys.append(key)
            }
        }
        let files = try RocksStore(path: database.path, mode: .reading).liveFiles()
            .filter { $0.family == "blocks" }
        #expect(files.count == 3)
        let victim = try #require(files.first { $0.smallest == keys[1] })
        let content = try Data(contentsOf: URL(fileURLWithPath: victim.path))
        let damages: [(Data?, GradDBError.Kind)] =
            [(nil, .corrupt), (content + [0], .corrupt)]
            + stride(from: 0, to: content.count, by: 512).map { (content.prefix($0), .corrupt) }
        for (damaged, kind) in damages {
            try FileManager.default.removeItem(atPath: victim.path)
            try damaged?.write(to: URL(fileURLWithPath: victim.path))
            let refused = #expect(throws: GradDBError.self) {
                try RocksStore(path: database.path, mode: .reading)
            }
            #expect(refused?.kind == kind)
            let store = try RocksStore(path: database.path, mode: .inspecting)
            for key in [keys[0], keys[2]] {
                #expect(try store.pinned(.blocks, key)?.withBytes { $0.count } == 9_000)
            }
            let error = #expect(throws: GradDBError.self) {
                _ = try store.pinned(.blocks, keys[1])
            }
            #expect(error?.kind == .corrupt && error?.message.contains(victim.name) ?? false)
            try content.write(to: URL(fileURLWithPath: victim.path))
        }
    }
}
