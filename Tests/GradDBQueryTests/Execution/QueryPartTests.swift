// How many queries are scored together, and by how many threads, must not change a bit of an answer.

import GradDB
import GradDBQuery
import Synchronization
import Testing

@Suite struct QueryPartTests {
    private static let statements = [
        "FROM t SCORE dot TO $q TOP 3 BOTTOM 2", "FROM t SCORE cosine TO $q ALL",
        "FROM t SCORE cosine TO $q MEAN TOP 5", "FROM t SCORE dot TO $q MEAN ALL",
        "FROM t SCORE dot TO $q SUM TOP 4", "FROM t SCORE cosine TO $q SUM ACROSS ALL TOP 4",
        "FROM t SCORE dot TO $q MEAN ACROSS ALL BOTTOM 30%", "FROM t SCORE cosine TO $q MAX TOP 7",
        "FROM t SCORE dot TO $q MAX ACROSS ALL ALL",
        "FROM t SCORE dot TO $q MAX WHERE part = 1 ALL",
        "FROM t SCORE dot TO $q ACROSS ALL TOP 2", "FROM t SCORE self ACROSS ALL TOP 4",
        "FROM t SCORE cosine TO ROWS WHERE part = 2 MEAN TOP 4",
        "FROM t SCORE dot TO ROWS WHERE part = 2 ACROSS ALL TOP 2",
        "FROM t SCORE cosine TO $q GROUP BY part WITH sum ALL",
        "FROM t SCORE cosine TO $q MEAN ACROSS ALL GROUP BY part WITH mean ALL",
        "SELECT layer PER LAYER FROM t SCORE cosine TO $q MEAN TOP 4",
        "SELECT layer PER LAYER FROM t SCORE dot TO $q MAX ACROSS ALL ALL",
        "SELECT layer PER LAYER FROM t SCORE dot TO $q GROUP BY part WITH max ALL",
    ]

    private struct Line: Equatable {
        var query: String
        var rank: Int
        var id: FieldValue?
        var score: UInt64
        var layer: String?

        init(_ row: ResultRow) {
            (query, rank, id, layer) = (row.query, row.rank, row.id, row.layer)
            score = row.score.bitPattern
        }
    }

    @Test(arguments: [CodecKind.f32, .f16, .int8, .bit])
    func partsAndThreadsDoNotChangeAnswers(codec: CodecKind) throws {
        let table = try AnsweredTable(codec: codec)
        let whole = try table.engine(threads: 1)
        for statement in Self.statements {
            let expected = try table.rows(whole, statement).map(Line.init)
            #expect(!expected.isEmpty)
            for (size, threads) in [(1, 1), (2, 3), (5, 2), (11, 4)] {
                let engine = try table.engine(queriesPerPart: size, threads: threads)
                #expect(
                    try table.rows(engine, statement).map(Line.init) == expected,
                    "\(statement), \(size) together")
            }
        }
    }

    /// Rows come before the statement has ended, and what takes them may end it.
    @Test func rowsAreHandedOverAsTheyAreKnown() throws {
        final class Sink: ResultSink {
            struct Enough: Error {}
            var queries: [String] = []
            var columns: [Field] = []

            func begin(_ header: ResultHeader) { columns = header.columns }

            func append(_ row: ResultRow) throws {
                queries.append(row.query)
                if queries.count == 7 { throw Enough() }
            }
        }
        let table = try AnsweredTable(codec: .int8)
        let engine = try table.engine(queriesPerPart: 2)
        let sink = Sink()
        let prepared = try #require(
            try engine.prepare(script: "SELECT part, rank FROM t SCORE dot TO $q TOP 2;").first)
        #expect(throws: Sink.Enough.self) { try engine.run(prepared, into: sink) }
        #expect(sink.columns == [Field(name: "part", type: .int), Field(name: "rank", type: .int)])
        #expect(sink.queries == ["$q[0]", "$q[0]", "$q[1]", "$q[1]", "$q[2]", "$q[2]", "$q[3]"])
    }

    /// `self` reads the heads of the first blocks, whose checksum it looks at.
    @Test func selfReadsNoVectors() throws {
        let table = try AnsweredTable(codec: .int8)
        let engine = try table.engine()
        guard case .plan(let plan) = try engine.run("EXPLAIN ANALYZE FROM t SCORE self ALL") else {
            Issue.record("no plan")
            return
        }
        let text = plan.rendered
        #expect(text.contains("reads: norms") && text.contains("bytes 0"))
    }
}
