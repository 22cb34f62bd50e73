// Commits of staged ingests: what is refused, what a crash at each step leaves, what other writers
// do with what is staged.

import Foundation
import GradDB
import Testing

@Suite struct StagedCommitTests {
    /// Two ranks of three row groups and a short one each.
    private func scene(closing: Bool = true) throws -> StagedScene {
        let scene = try StagedScene()
        for rank in 0..<2 {
            let writer = try scene.writer(rank: rank, of: 2)
            for part in 0..<3 {
                try scene.push(
                    rank * 14 + part * 4..<rank * 14 + part * 4 + 4, to: writer)
                try writer.flush()
            }
            try scene.push(rank * 14 + 12..<rank * 14 + 14, to: writer)
            if closing { try writer.close() } else { writer.abandon() }
        }
        return scene
    }

    private func staged(_ scene: StagedScene) throws -> StagedIngest {
        let all = try StagedIngest.list(database: scene.database.path)
        #expect(all.count == 1)
        return try #require(all.first)
    }

    private func refusal(
        _ kind: GradDBError.Kind, _ fragment: String, of scene: StagedScene, partial: Bool = false
    ) {
        let error = #expect(throws: GradDBError.self) { try scene.commit(partial: partial) }
        #expect(error?.kind == kind, "\(error?.message ?? "")")
        #expect(error?.message.contains(fragment) ?? false, "\(error?.message ?? "")")
    }

    /// A database as a crash would leave it now.
    private func copy(_ scene: StagedScene, _ name: String) throws -> String {
        let path = scene.database.directory.file(name)
        // RocksDB may be replacing files of its own meanwhile: then the copy is of no moment.
        func files() throws -> [String] {
            try FileManager.default.subpathsOfDirectory(atPath: scene.database.path).sorted()
        }
        while true {
            let before = try files()
            try? FileManager.default.removeItem(atPath: path)
            if (try? FileManager.default.copyItem(atPath: scene.database.path, toPath: path))
                != nil,
                try files() == before
            {
                return path
            }
        }
    }

    // MARK: crashes

    private struct Crash: Error {}

    @Test(arguments: ["marked", "spilled", "attached", "attached and spilled"])
    func aCrashBeforeThePublicationLeavesItStaged(moment: String) throws {
        let scene = try scene()
        let first = try staged(scene).document.firstSegment
        var crashed = ""
        do {
            let writer = try DatabaseWriter(path: scene.database.path)
            let table = try writer.table("t")
            #expect(throws: Crash.self) {
                try writer.withCommit(to: table, staged: first, cancellation: Cancellation()) {
                    commit in
                    if moment.contains("spilled") {
                        try commit.announceSpill()
                        let batch = WriteBatch(writer.store)
                        batch.put(
                            .keys, Keys.id(table: 1, .string("id-3")),
                            [UInt8](repeating: 0, count: 8))
                        batch.put(
                            .rows, Keys.row(table: 1, 0),
                            RowRecord(id: .string("id-3"), values: [nil, nil]).encode())
                        batch.put(
                            .fields, Keys.rowMap(table: 1, segment: first + 1, rowGroup: 0), [1])
                        try writer.store.write(batch, sync: true)
                    }
                    if moment.contains("attached") {
                        let files = try (0..<2).flatMap { rank in
                            let path =
                                scene.database.path + "/staged/0000000000000001/rank-0000\(rank)"
                            return try FileManager.default.contentsOfDirectory(atPath: path)
                                .filter { $0.hasSuffix(".sst") }.sorted().map { path + "/" + $0 }
                        }
                        #expect(files.count == 8)
                        try commit.attach(copiesOf: files)
                    }
                    crashed = try copy(scene, "crashed")
                    throw Crash()
                }
            }
            // The writer that lived took it back itself, and can go on.
            #expect(
                try writer.commitStaged(into: "t", checkpoint: "c", options: .init()).rows == 28)
        }
        try scene.expectRows(0..<28)

        // A reader of the crashed one sees nothing; the next writer, of whatever, cleans up.
        #expect(try Database(path: crashed).table("t").rowCount == 0)
        var other = TableSchema(name: "u", layers: [.init(name: "grad", dims: 1, codec: .f32)])
        other.rowsPerGroup = 1
        try DatabaseWriter(path: crashed).createTable(other)
        let store = try Database(path: crashed).store
        for family in [ColumnFamily.keys, .rows, .fields, .blocks] {
            try store.forEach(family, prefix: []) { _, _ in
                Issue.record("\(family) is not empty")
                return false
            }
        }
        let reservation: ReservationDocument? = try Catalog(store).document(
            Catalog.Key.reservation(first))
        #expect(reservation?.attaching == false && reservation?.spilled == false)
        let again = try DatabaseWriter(path: crashed).commitStaged(
            into: "t", checkpoint: "c", options: .init())
        #expect(again.rows == 28)
        let view = try Database(path: crashed).table("t").newest
        #expect(view.rowCount == 28)
        #expect(try Check(try Database(path: crashed), deep: true, threads: 2).run().isOK)
    }

    @Test func aDirectoryWhoseCommitSucceededIsStale() throws {
        let scene = try scene()
        let path = try staged(scene).path
        let kept = scene.database.directory.file("kept")
        try FileManager.default.copyItem(atPath: path, toPath: kept)
        try scene.commit()
        try FileManager.default.copyItem(atPath: kept, toPath: path)
        #expect(try StagedIngest.list(database: scene.database.path).isEmpty)
        refusal(.usage, "nothing is staged", of: scene)
        #expect(!FileManager.default.fileExists(atPath: path))
        try scene.expectRows(0..<28)
        // A rank that comes now begins anew, behind all numbers that were ever given.
        let writer = try scene.writer(checkpoint: "c", { _ in })
        #expect(writer.document.firstSegment > 2)
        writer.abandon()
    }

    @Test func aBeginThatDiedIsTakenBack() throws {
        let scene = try StagedScene()
        let root = scene.database.path + "/staged"
        do {
            let writer = try DatabaseWriter(path: scene.database.path)
            var counters = try writer.counters()
            counters.nextSegment = 9
            var reservation = ReservationDocument(table: 1, segments: 8)
            reservation.staged = true
            let batch = WriteBatch(writer.store)
            try batch.put(Catalog.Key.counters, document: counters)
            try batch.put(Catalog.Key.reservation(1), document: reservation)
            try writer.commit(batch)
            try FileManager.default.createDirectory(
                atPath: root + "/0000000000000001.tmp", withIntermediateDirectories: true)
        }
        let writer = try scene.writer()
        #expect(writer.document.firstSegment == 9)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: root) == ["0000000000000009"])
        writer.abandon()
    }

    // MARK: refusals

    @Test func ranksThatAreNotClosedAreNamed() throws {
        let scene = try scene(closing: false)
        refusal(.failed, "ranks 0, 1 of 2 have not been closed", of: scene)
        try scene.writer(rank: 0, of: 2).close()
        refusal(.failed, "rank 1 of 2 has not been closed", of: scene)
        let now = try staged(scene)
        #expect(now.ranks.map(\.isClosed) == [true, false] && now.rows == 24)
        // Partly: what was not finished is not there, and may come in another ingest.
        #expect(try scene.commit(partial: true).rows == 24)
        let rest = try scene.writer(resume: true)
        #expect(try scene.push(0..<28, to: rest) == AppendResult(rows: 4, skipped: 24))
        try rest.close()
        try scene.commit()
        try scene.expectRows(0..<28)
    }

    @Test func idsThatComeTwiceAreRefusedAndNothingIsLost() throws {
        let scene = try StagedScene()
        for rank in 0..<2 {
            let writer = try scene.writer(rank: rank, of: 2)
            try scene.push(rank * 3..<rank * 3 + 4, to: writer)
            try writer.close()
        }
        refusal(.badInput, "id id-3 comes twice", of: scene)
        #expect(try scene.database.table("t").newestSnapshot == 0)
        #expect(try staged(scene).rows == 8)
        try DatabaseWriter(path: scene.database.path).abandonStaged("t", checkpoint: "c")
        #expect(try StagedIngest.list(database: scene.database.path).isEmpty)
        refusal(.usage, "nothing is staged", of: scene)
    }

    @Test func aRecodeInBetweenIsRefusedWithARemedy() throws {
        let scene = try scene()
        _ = try DatabaseWriter(path: scene.database.path).recode(
            "t", options: RecodeOptions(layer: nil, codec: .f32))
        refusal(.failed, "--abandon", of: scene)
        let writer = #expect(throws: GradDBError.self) { try scene.writer(rank: 0, of: 2) }
        #expect(writer?.kind == .failed)
        #expect(try staged(scene).problem != nil)
        try DatabaseWriter(path: scene.database.path).abandonStaged("t", checkpoint: "c")
        let again = try scene.writer()
        try scene.push(0..<5, to: again)
        try again.close()
        try scene.commit()
        try scene.expectRows(0..<5)
    }

    @Test func otherWritersWorkBesideIt() throws {
        let scene = try scene()
        // New ids and known ones, before and after those of the ranks.
        let lines = (10..<18).map { "{\"id\":\"id-\($0)\"}" }
        try scene.database.ingest(
            "t", ["grad": (10..<18).map(StagedScene.vector)], checkpoint: "other", metadata: lines)
        try DatabaseWriter(path: scene.database.path).tag("t", "before", snapshot: nil)
        #expect(try staged(scene).problem == nil)
        let error = #expect(throws: GradDBError.self) { try scene.commit() }
        // Their fields are not those that the ingest left NULL.
        #expect(error?.message.contains("was set to NULL") ?? false, "\(error?.message ?? "")")
        #expect(try scene.database.table("t").newestSnapshot == 1)
        #expect(try staged(scene).rows == 28)
    }

    @Test func rowsThatTheTableKnowsKeepTheirNumbers() throws {
        let scene = try StagedScene()
        let first = try scene.writer(checkpoint: "a")
        try scene.push(5..<9, to: first)
        try first.close()
        let second = try scene.writer(checkpoint: "b")
        try scene.push(0..<14, to: second)
        try second.close()
        try scene.commit(checkpoint: "a")
        let result = try scene.commit(checkpoint: "b")
        #expect(result.rows == 14 && result.newRows == 10)
        try scene.expectRows(5..<9, checkpoint: "a")
        try scene.expectRows(0..<14, checkpoint: "b")
    }

    @Test func anEmptyStagedIngestEndsWithoutASnapshot() throws {
        let scene = try StagedScene()
        try scene.writer(rank: 0, of: 2).close()
        try scene.writer(rank: 1, of: 2).close()
        let result = try scene.commit()
        #expect(result.rows == 0 && result.snapshot == 0)
        #expect(try StagedIngest.list(database: scene.database.path).isEmpty)
    }

    @Test func directoriesOfOtherDatabasesAreLeftAlone() throws {
        let scene = try scene()
        let other = try StagedScene()
        try FileManager.default.createDirectory(
            atPath: other.database.path + "/staged", withIntermediateDirectories: true)
        let path = other.database.path + "/staged/0000000000000001"
        try FileManager.default.copyItem(atPath: try staged(scene).path, toPath: path)
        refusal(.usage, "nothing is staged", of: other)
        #expect(try staged(other).problem == "it belongs to another database")
        #expect(FileManager.default.fileExists(atPath: path + "/ingest.json"))
    }

    // MARK: projectors

    @Test func projectorsAreComparedAndTakenOver() throws {
        let scene = try StagedScene()
        let projector = ProjectorDocument(kind: .dense, dims: StagedScene.dims, seed: 7)
        let otherOne = ProjectorDocument(kind: .dense, dims: StagedScene.dims, seed: 8)
        func push(_ ids: Range<Int>, _ projector: ProjectorDocument, rank: Int) throws {
            let writer = try scene.writer(rank: rank, of: 2, resume: true)
            let batch = TestBatch(
                ["grad": ids.map(StagedScene.vector)], projectors: ["grad": projector])
            try writer.append(
                batch.source, ids: ids.map { .string("id-\($0)") },
                fields: ids.map(StagedScene.fields))
            try writer.close()
        }
        try push(0..<4, projector, rank: 0)
        // The rank knows its own; the commit, everybody's.
        let same = #expect(throws: GradDBError.self) { try push(4..<8, otherOne, rank: 0) }
        #expect(same?.kind == .badInput)
        try push(4..<8, otherOne, rank: 1)
        refusal(.badInput, "another projector", of: scene)
        try DatabaseWriter(path: scene.database.path).abandonStaged("t", checkpoint: "c")
        try push(0..<4, projector, rank: 0)
        try push(4..<8, projector, rank: 1)
        try scene.commit()
        try scene.expectRows(0..<8)
        #expect(try scene.database.table("t").layers[0].projector == projector)
        let refused = #expect(throws: GradDBError.self) { try push(8..<12, otherOne, rank: 0) }
        #expect(refused?.message.contains("another projector") ?? false)
    }
}
