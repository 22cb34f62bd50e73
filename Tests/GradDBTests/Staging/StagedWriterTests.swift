// The push interface: rows in, rows durable, rows in a snapshot; batches of any size; what is refused
// and what then remains; closing, resuming, opening again.

import Foundation
import GradDB
import Testing

/// A table with a layer of several encodings and two fields, and ways to push rows into it.
struct StagedScene {
    let database: TestDatabase
    static let dims = 40

    init(rowsPerGroup: Int = 4, codecs: [CodecKind] = [.f32, .int8, .bit]) throws {
        database = try TestDatabase()
        var schema = TableSchema(
            name: "t", layers: [.init(name: "grad", dims: Self.dims, codecs: codecs)],
            fields: [Field(name: "source", type: .string), Field(name: "x", type: .float)])
        schema.rowsPerGroup = rowsPerGroup
        try database.create(schema)
    }

    /// The same vector for an id always.
    static func vector(_ id: Int) -> [Float] {
        var random = SeededRandom(seed: UInt64(id) + 1)
        return random.vector(dims)
    }

    static func fields(_ id: Int) -> [FieldValue?] {
        [.string("s\(id % 3)"), id % 5 == 0 ? nil : .float(Double(id) / 4)]
    }

    func writer(
        rank: Int = 0, of ranks: Int = 1, resume: Bool = false, checkpoint: String = "c",
        _ change: (inout StagedOptions) -> Void = { _ in }
    ) throws -> StagedWriter {
        var options = StagedOptions(checkpoint: checkpoint)
        options.rank = rank
        options.ranks = ranks
        options.resume = resume
        change(&options)
        return try StagedWriter(database: database.path, table: "t", options: options)
    }

    @discardableResult
    func push(_ ids: Range<Int>, to writer: StagedWriter, batch: Int = 3) throws -> AppendResult {
        var total = AppendResult(rows: 0, skipped: 0)
        for start in stride(from: ids.lowerBound, to: ids.upperBound, by: batch) {
            let part = Array(start..<min(ids.upperBound, start + batch))
            let vectors = TestBatch(["grad": part.map(Self.vector)])
            let result = try writer.append(
                vectors.source, ids: part.map { .string("id-\($0)") }, fields: part.map(Self.fields)
            )
            total.rows += result.rows
            total.skipped += result.skipped
        }
        return total
    }

    @discardableResult
    func commit(
        partial: Bool = false, checkpoint: String = "c", tag: String? = nil
    ) throws -> IngestResult {
        var options = StagedCommitOptions()
        options.partial = partial
        options.tag = tag
        return try DatabaseWriter(path: database.path).commitStaged(
            into: "t", checkpoint: checkpoint, options: options)
    }

    /// Every row of the newest snapshot is as an ingest of it would have stored it.
    func expectRows(_ ids: Range<Int>, checkpoint: String = "c") throws {
        let view = try database.table("t").newest
        let document = try #require(view.checkpoint(named: checkpoint))
        #expect(try view.rowCount(of: document) == ids.count)
        let kernels = try KernelSet.chosen()
        for id in ids {
            let row = try #require(try view.row(of: .string("id-\(id)")), "id \(id)")
            #expect(try view.record(row: row).values == Self.fields(id))
            let place = try #require(try view.location(of: row, in: document), "id \(id)")
            let layer = view.table.layers[0]
            for encoding in view.encodings(of: layer) {
                let codec = try view.table.codec(layer, encoding.codec, kernels)
                let expected = try encode(Self.vector(id), codec)
                let stored = try view.vector(layer, encoding, at: place)
                #expect(stored.bytes == expected.bytes, "id \(id), \(encoding.codec)")
                #expect(stored.statistics == expected.statistics, "id \(id), \(encoding.codec)")
            }
        }
        #expect(try Check(try Database(path: database.path), deep: true, threads: 2).run().isOK)
    }

    private func encode(
        _ vector: [Float], _ codec: any Codec
    ) throws -> (bytes: [UInt8], statistics: RowStatistics) {
        var row = vector
        var bytes = [UInt8](repeating: 0, count: codec.rowBytes)
        let statistics = try row.withUnsafeMutableBufferPointer { row in
            try bytes.withUnsafeMutableBytes { try codec.encode(row, into: $0) }
        }
        return (bytes, statistics)
    }
}

@Suite struct StagedWriterTests {
    @Test(arguments: [1, 2, 3, 4, 5, 7, 16, 100])
    func batchesOfAnySizeStoreWhatAnIngestStores(batch: Int) throws {
        let scene = try StagedScene()
        let writer = try scene.writer()
        try scene.push(0..<23, to: writer, batch: batch)
        let summary = try writer.close()
        #expect(summary.rows == 23 && summary.newRows == 23 && summary.skipped == 0)
        #expect(try scene.database.table("t").newestSnapshot == 0)
        let result = try scene.commit(tag: "done")
        #expect(result.snapshot == 1 && result.rows == 23 && result.newRows == 23)
        try scene.expectRows(0..<23)
        #expect(try scene.database.table("t").tags == ["done": 1])
        #expect(try StagedIngest.list(database: scene.database.path).isEmpty)
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: scene.database.path + "/staged")
                == [])
    }

    @Test func ranksBecomeOneSnapshotInTheirOrder() throws {
        let scene = try StagedScene()
        let writers = try (0..<3).map { try scene.writer(rank: $0, of: 3) }
        // Side by side, the last first.
        try scene.push(20..<31, to: writers[2])
        try scene.push(0..<9, to: writers[0])
        try scene.push(9..<20, to: writers[1])
        for writer in writers.reversed() { try writer.close() }
        let result = try scene.commit()
        #expect(result.rows == 31 && result.snapshot == 1)
        try scene.expectRows(0..<31)
        let view = try scene.database.table("t").newest
        #expect(view.segments.map(\.rows) == [9, 11, 11])
        for id in 0..<31 { #expect(try view.row(of: .string("id-\(id)")) == UInt64(id)) }
    }

    @Test func aRankWithoutRowsIsNoSegment() throws {
        let scene = try StagedScene()
        try scene.writer(rank: 0, of: 2).close()
        let writer = try scene.writer(rank: 1, of: 2)
        try scene.push(0..<4, to: writer)
        try writer.close()
        try scene.commit()
        #expect(try scene.database.table("t").newest.segments.count == 1)
        try scene.expectRows(0..<4)
    }

    @Test func aBatchIsTakenWholeOrNotAtAll() throws {
        let scene = try StagedScene()
        let writer = try scene.writer()
        try scene.push(0..<3, to: writer)
        func refuse(
            _ fragment: String, _ ids: [RowID], _ rows: Matrix, _ fields: [[FieldValue?]]? = nil
        ) {
            let batch = TestBatch(["grad": rows])
            let error = #expect(throws: GradDBError.self) {
                try writer.append(batch.source, ids: ids, fields: fields)
            }
            #expect(error?.kind == .badInput)
            #expect(error?.message.contains(fragment) ?? false, "\(error?.message ?? "")")
        }
        let rows = (100..<109).map(StagedScene.vector)
        let ids = (100..<109).map { RowID.string("id-\($0)") }
        var nan = rows
        nan[8][7] = .nan
        refuse("row 8 (id id-108), layer 'grad': the value at dim 7 is NaN", ids, nan)
        var wide = rows
        wide[7][0] = .infinity
        refuse("row 7", ids, wide)
        refuse("row 8: id id-100 already came", Array(ids[..<8]) + [ids[0]], rows)
        refuse("row 8: id id-1 already came", Array(ids[..<8]) + [.string("id-1")], rows)
        refuse("row 8: id 7 is of type int", Array(ids[..<8]) + [.int(7)], rows)
        refuse("an id has 1 to", Array(ids[..<8]) + [.string("")], rows)
        refuse("8 ids for 9 rows", Array(ids[..<8]), rows)
        let fields = (100..<109).map(StagedScene.fields)
        refuse(
            "field 'x' is 'a', of type string", ids, rows,
            Array(fields[..<8]) + [[nil, .string("a")]])
        refuse("there are 1 fields", ids, rows, Array(fields[..<8]) + [[nil]])
        refuse("field 'x' is inf", ids, rows, Array(fields[..<8]) + [[nil, .float(.infinity)]])
        refuse("has 39 dims", ids, rows.map { Array($0.dropLast()) })
        let other = TestBatch(["weights": rows])
        #expect(throws: GradDBError.self) { try writer.append(other.source, ids: ids) }
        // None of that left a trace.
        try scene.push(3..<10, to: writer, batch: 9)
        #expect(try writer.close().rows == 10)
        try scene.commit()
        try scene.expectRows(0..<10)
    }

    @Test func aWriterThatIsDoneRefusesMore() throws {
        let scene = try StagedScene()
        let writer = try scene.writer()
        try scene.push(0..<4, to: writer)
        try writer.close()
        #expect(throws: GradDBError.self) { try writer.close() }
        #expect(throws: GradDBError.self) { try writer.flush() }
        #expect(throws: GradDBError.self) { try scene.push(4..<5, to: writer) }
        let second = try scene.writer(resume: true)
        second.abandon()
        second.abandon()
        #expect(throws: GradDBError.self) { try second.flush() }
    }

    @Test func aRankHasOneWriter() throws {
        let scene = try StagedScene()
        let writer = try scene.writer(rank: 1, of: 2)
        let error = #expect(throws: GradDBError.self) { try scene.writer(rank: 1, of: 2) }
        #expect(error?.kind == .locked)
        let commit = #expect(throws: GradDBError.self) { try scene.commit(partial: true) }
        #expect(commit?.kind == .locked && commit?.message.contains("rank 1") ?? false)
        writer.abandon()
        try scene.writer(rank: 1, of: 2).abandon()
    }

    @Test func whatIsAlreadyThereIsRefusedOrLeftOut() throws {
        let scene = try StagedScene()
        let first = try scene.writer()
        try scene.push(0..<8, to: first)
        try first.close()
        try scene.commit()
        let rank0 = try scene.writer(rank: 0, of: 2)
        try scene.push(8..<16, to: rank0)
        try rank0.close()

        let plain = try scene.writer(rank: 1, of: 2)
        let stored = #expect(throws: GradDBError.self) { try scene.push(7..<9, to: plain) }
        #expect(stored?.message.contains("id-7") ?? false, "\(stored?.message ?? "")")
        plain.abandon()

        let resumed = try scene.writer(rank: 1, of: 2, resume: true)
        #expect(try scene.push(0..<24, to: resumed) == AppendResult(rows: 8, skipped: 16))
        let summary = try resumed.close()
        #expect(summary.rows == 8 && summary.skipped == 16)
        try scene.commit()
        try scene.expectRows(0..<24)
    }

    @Test func fieldsThatContradictTheTableAreRefusedAtOnce() throws {
        let scene = try StagedScene()
        let first = try scene.writer()
        try scene.push(0..<4, to: first)
        try first.close()
        try scene.commit()
        let writer = try scene.writer(checkpoint: "d")
        let batch = TestBatch(["grad": [StagedScene.vector(1)]])
        let error = #expect(throws: GradDBError.self) {
            try writer.append(
                batch.source, ids: [.string("id-1")], fields: [[.string("other"), nil]])
        }
        #expect(error?.message.contains("was set to 's1'") ?? false, "\(error?.message ?? "")")
        // Left out, or the same: fine.
        try writer.append(batch.source, ids: [.string("id-1")])
        try scene.push(2..<4, to: writer)
        try writer.close()
        let result = try scene.commit(checkpoint: "d")
        #expect(result.newRows == 0 && result.rows == 3)
        try scene.expectRows(1..<4, checkpoint: "d")
    }

    @Test func whatWasDurableSurvivesAndTheRestComesAgain() throws {
        let scene = try StagedScene()
        let first = try scene.writer()
        try scene.push(0..<10, to: first)
        try first.flush()
        try scene.push(10..<17, to: first)
        first.abandon()  // groups of 4: 0 to 7 are durable

        let second = try scene.writer(resume: true)
        #expect(second.earlierRows == 8)
        #expect(try scene.push(0..<17, to: second) == AppendResult(rows: 9, skipped: 8))
        try second.close()
        try scene.commit()
        try scene.expectRows(0..<17)
    }

    @Test func aClosedRankGoesOnOnlyBehindAFullRowGroup() throws {
        let scene = try StagedScene()
        let first = try scene.writer()
        try scene.push(0..<8, to: first)
        try first.close()
        let second = try scene.writer(resume: true)
        try scene.push(0..<10, to: second)
        try second.close()
        let third = try scene.writer(resume: true)
        #expect(try scene.push(0..<10, to: third) == AppendResult(rows: 0, skipped: 10))
        let error = #expect(throws: GradDBError.self) { try scene.push(10..<11, to: third) }
        #expect(error?.kind == .failed)
        try third.close()
        try scene.commit()
        try scene.expectRows(0..<10)
    }

    @Test func aBeginWithOtherParametersIsRefused() throws {
        let scene = try StagedScene()
        let writer = try scene.writer(rank: 0, of: 2) { $0.step = 3 }
        for change: (inout StagedOptions) -> Void in [
            { $0.ranks = 3 }, { $0.step = 4 }, { $0.weight = 1 }, { $0.rowsPerGroup = 2 },
        ] {
            let error = #expect(throws: GradDBError.self) {
                try scene.writer(rank: 1, of: 2, change)
            }
            #expect(error?.kind == .usage)
        }
        for change: (inout StagedOptions) -> Void in [
            { $0.rank = -1 }, { $0.rank = 2 }, { $0.ranks = 0 }, { $0.ranks = 65_537 },
            { $0.weight = .nan }, { $0.rowsPerGroup = 0 },
        ] {
            #expect(throws: GradDBError.self) { try scene.writer(rank: 1, of: 2, change) }
        }
        // What is left out is as it was begun.
        try scene.writer(rank: 1, of: 2).close()
        try scene.push(0..<1, to: writer)
        try writer.close()
        try scene.commit()
        #expect(try scene.database.table("t").checkpoints.map(\.step) == [3])
        #expect(throws: GradDBError.self) { try scene.writer { $0.step = 5 } }
    }
}
