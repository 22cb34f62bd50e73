// Statements: an input is a text, which is parsed, bound and run. Whatever is refused says where and
// what instead; what is taken reads back as the same.

import Foundation
import GradDB
import GradDBQuery

final class StatementTarget: FuzzTarget {
    private let database: TestDatabase
    private let engine: QueryEngine

    let expected: Set<GradDBError.Kind> = [.usage, .badInput, .notFound]

    var seeds: [[UInt8]] {
        [
            "FROM t SCORE dot TO $q TOP 3", "SELECT id, source, score FROM t TOP 5;",
            "FROM t SCORE cosine TO $q LAYERS a, b WHERE source = 's1' AND n IS NULL TOP 2 BOTTOM 2",
            "FROM t SCORE dot TO ROW 'x1' ACROSS ALL MEAN TOP 5% EXACT",
            "FROM t SCORE dot TO $q PRECONDITION p GROUP BY source WITH sum TOP 3",
            "SELECT id, source PER LAYER FROM t SCORE cosine TO ROWS WHERE length(source) > 1 SUM "
                + "ACROSS 'c' WEIGHT 2e-5, 'd' WEIGHT 1 WHERE NOT (source LIKE 's%' OR n BETWEEN 1 AND 2) ALL",
            "FROM t AT 1 SCORE self TOP 10", "EXPLAIN FROM t SCORE dot TO $q TOP 2",
            "EXPLAIN ANALYZE FROM t SCORE dot TO $q TOP 1 CONFIDENCE 0.9",
            "FROM t WHERE n * -2 + 1 >= $n1 OR source IN ('s1', NULL) TOP 10 -- a comment",
        ].map { Array($0.utf8) }
    }

    init() throws {
        database = try SmallDatabase.everything()
        let vectors = database.directory.file("query.safetensors")
        var random = SeededRandom(seed: 3)
        try TensorFiles.write(
            [
                "a": [random.vector(6), random.vector(6)],
                "b": [random.vector(9), random.vector(9)],
            ],
            to: vectors)
        var options = QueryOptions()
        options.threads = 1
        options.parameters = ["q": vectors, "n1": "1", "s1": "s1", "b1": "TRUE"]
        engine = QueryEngine(try Database(path: database.path), options: options)
    }

    func run(_ input: [UInt8]) throws {
        let text = String(decoding: input, as: UTF8.self)
        do {
            for statement in try Statement.parseScript(text) {
                guard try Statement.parse(statement.description) == statement else {
                    report("reads back as another: \(statement)")
                }
            }
        } catch {
            guard error.range.start <= error.range.end, error.range.end <= text.utf8.count,
                error.line >= 1, error.column >= 1, !error.message.isEmpty,
                !error.expected.isEmpty, error.rendered.contains("^")
            else { report("a refusal that does not help: \(error)") }
            return
        }
        // Budgets may be long; their plans are as good.
        let explain: Statement.Explain? = text.uppercased().contains("BUDGET") ? .plan : nil
        for prepared in try engine.prepare(script: text, explain: explain) {
            _ = try engine.run(prepared)
        }
    }
}
