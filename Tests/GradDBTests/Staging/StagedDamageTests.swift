// Staged files that are not what was written: cut off by a power loss, flipped, missing, swapped.

import Foundation
import GradDB
import Testing

@Suite struct StagedDamageTests {
    private static let rank = "/staged/0000000000000001/rank-00000"

    /// One closed rank with two pairs of files, and another one that is empty.
    private func scene() throws -> StagedScene {
        let scene = try StagedScene()
        let writer = try scene.writer(rank: 0, of: 2)
        try scene.push(0..<8, to: writer)
        try writer.flush()
        try scene.push(8..<14, to: writer)
        try writer.close()
        try scene.writer(rank: 1, of: 2).close()
        return scene
    }

    /// Runs `body` with a file's bytes changed, then puts them back.
    private func with(
        _ scene: StagedScene, _ file: String, _ change: (inout Data) -> Void,
        _ body: (_ path: String) throws -> Void
    ) throws {
        let path = scene.database.path + file
        let url = URL(fileURLWithPath: path)
        let before = try Data(contentsOf: url)
        var bytes = before
        change(&bytes)
        try bytes.write(to: url)
        try body(path)
        try before.write(to: url)
    }

    private func refuse(
        _ scene: StagedScene, naming path: String, kind: GradDBError.Kind = .corrupt
    ) {
        let error = #expect(throws: GradDBError.self) { try scene.commit() }
        #expect(error?.kind == kind, "\(error?.message ?? "")")
        #expect(error?.message.contains(path) ?? false, "\(error?.message ?? "")")
    }

    @Test(arguments: ["000000.sst", "000001.sst", "000000.rows", "000001.rows"])
    func everyByteOfAFileCounts(name: String) throws {
        let scene = try scene()
        let file = Self.rank + "/" + name
        let size = try Data(contentsOf: URL(fileURLWithPath: scene.database.path + file)).count
        var random = SeededRandom(seed: 11)
        for _ in 0..<12 {
            let place = Int.random(in: 0..<size, using: &random)
            let mask = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
            try with(scene, file, { $0[place] ^= mask }, { refuse(scene, naming: $0) })
        }
        func isShort(_ path: String) {
            refuse(scene, naming: path)
            // Nor is anything added to it.
            let writer = #expect(throws: GradDBError.self) { try scene.writer(rank: 0, of: 2) }
            #expect(writer?.kind == .corrupt && writer?.message.contains(path) ?? false)
        }
        try with(scene, file, { $0.removeLast() }, isShort)
        try with(scene, file, { $0.append(0) }, { refuse(scene, naming: $0) })
        func removed(_ path: String) throws {
            try FileManager.default.removeItem(atPath: path)
            refuse(scene, naming: path)
        }
        try with(scene, file, { _ in }, removed)
        try scene.commit()
        try scene.expectRows(0..<14)
    }

    @Test func everyByteOfAJournalCounts() throws {
        let scene = try scene()
        let file = Self.rank + "/journal"
        let size = try Data(contentsOf: URL(fileURLWithPath: scene.database.path + file)).count
        var random = SeededRandom(seed: 12)
        func refused(_ path: String) {
            let error = #expect(throws: GradDBError.self) { try scene.commit() }
            let message = error?.message ?? ""
            // What is wrong in the last line is cut off, so that the rank is not closed.
            #expect(
                error?.kind == .corrupt && message.contains(file)
                    || error?.kind == .failed
                        && message.contains("rank 0 of 2 has not been closed"),
                "\(message)")
        }
        for place in stride(from: 0, to: size, by: 7) {
            let mask = UInt8(1) << UInt8.random(in: 0..<8, using: &random)
            try with(scene, file, { $0[place] ^= mask }, refused)
        }
        try scene.commit()
        try scene.expectRows(0..<14)
    }

    /// A power loss cuts the journal anywhere in what was not yet synced: its last lines.
    @Test func aJournalCutOffAnywhereGoesOnFromItsLastWholeLine() throws {
        let scene = try scene()
        let journal = scene.database.path + Self.rank + "/journal"
        let whole = try Data(contentsOf: URL(fileURLWithPath: journal))
        let lines = whole.split(separator: 10)
        #expect(lines.count == 3)
        let ends = lines.indices.map { lines[...$0].reduce(0) { $0 + $1.count + 1 } }
        // The whole way for some lengths; which rows there are, for each.
        for length in 0...whole.count {
            try whole.prefix(length).write(to: URL(fileURLWithPath: journal))
            let staged = try #require(try StagedIngest.list(database: scene.database.path).first)
            let rows = length >= ends[1] ? 14 : length >= ends[0] ? 8 : 0
            #expect(staged.ranks[0].rows == rows && staged.problem == nil, "\(length)")
            #expect(staged.ranks[0].isClosed == (length == whole.count), "\(length)")
        }
        for length in [
            0, 1, ends[0] - 1, ends[0], ends[0] + 9, ends[1] - 1, ends[1], whole.count - 1,
        ] {
            let path = scene.database.directory.file("cut-\(length)")
            try FileManager.default.copyItem(atPath: scene.database.path, toPath: path)
            try whole.prefix(length).write(to: URL(fileURLWithPath: path + Self.rank + "/journal"))
            // Files that no line names may be there in any state.
            try Data("half".utf8).write(to: URL(fileURLWithPath: path + Self.rank + "/000007.sst"))
            var options = StagedOptions(checkpoint: "c")
            options.ranks = 2
            options.resume = true
            let writer = try StagedWriter(database: path, table: "t", options: options)
            #expect(!FileManager.default.fileExists(atPath: path + Self.rank + "/000007.sst"))
            let result = try scene.push(0..<14, to: writer)
            #expect(result.skipped == writer.earlierRows && result.rows == 14 - result.skipped)
            try writer.close()
            let committed = try DatabaseWriter(path: path).commitStaged(
                into: "t", checkpoint: "c", options: .init())
            #expect(committed.rows == 14)
            #expect(try Check(try Database(path: path), deep: true, threads: 2).run().isOK)
        }
    }

    @Test func filesOfAnotherRankAreNotTaken() throws {
        let scene = try StagedScene()
        for rank in 0..<2 {
            let writer = try scene.writer(rank: rank, of: 2)
            try scene.push(rank * 8..<rank * 8 + 8, to: writer)
            try writer.close()
        }
        let root = scene.database.path + "/staged/0000000000000001"
        let files = FileManager.default
        try files.moveItem(atPath: root + "/rank-00000", toPath: root + "/kept")
        try files.copyItem(atPath: root + "/rank-00001", toPath: root + "/rank-00000")
        refuse(scene, naming: "rank-00000/journal")
        #expect(throws: GradDBError.self) { try scene.writer(rank: 0, of: 2, resume: true) }
        try files.removeItem(atPath: root + "/rank-00000")
        try files.moveItem(atPath: root + "/kept", toPath: root + "/rank-00000")
        // Nor is what somebody put there beside them.
        try Data("note".utf8).write(to: URL(fileURLWithPath: root + "/note.txt"))
        try Data("note".utf8).write(to: URL(fileURLWithPath: root + "/rank-00000/note.txt"))
        try scene.commit()
        try scene.expectRows(0..<16)
    }

    @Test func aDamagedIngestDocumentIsReported() throws {
        let scene = try scene()
        let file = "/staged/0000000000000001/ingest.json"
        // Still a document, but another one: no line of a journal fits it.
        func change(_ data: inout Data) {
            let text = String(decoding: data, as: UTF8.self)
            data = Data(
                text.replacingOccurrences(of: "_per_group\":4", with: "_per_group\":3").utf8)
        }
        try with(scene, file, change, { _ in refuse(scene, naming: "rank-00000/journal") })
        func isReported(_ path: String) throws {
            // Other writers work, and leave it alone.
            try DatabaseWriter(path: scene.database.path).tag("t", "x", snapshot: nil)
            refuse(scene, naming: path)
            let writer = #expect(throws: GradDBError.self) { try scene.writer() }
            #expect(writer?.kind == .corrupt)
        }
        try with(scene, file, { $0.removeLast(3) }, isReported)
        try scene.commit()
        try scene.expectRows(0..<14)
    }
}
