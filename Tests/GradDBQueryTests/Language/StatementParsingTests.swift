// What statements mean: each is read and spelled out canonically, and that reads back as the same.

import GradDBQuery
import Testing

@Suite struct StatementParsingTests {
    static let cases = StatementCase.cases(
        """
        from t score dot to $q
        ----
        SELECT * FROM t SCORE dot TO $q EACH

        SELECT id, score, source AS "where from", text FROM alpaca SCORE COSINE TO 'howdy.npy' MEAN
        ----
        SELECT id, score, source AS "where from", text FROM alpaca SCORE cosine TO 'howdy.npy' MEAN

        EXPLAIN SELECT *, id FROM "T 1" AT 12 SCORE dot TO ROW 'it''s'
        ----
        EXPLAIN SELECT *, id FROM "T 1" AT 12 SCORE dot TO ROW 'it''s' EACH

        explain analyze from t at 'step-300' score dot to row -5 each;
        ----
        EXPLAIN ANALYZE SELECT * FROM t AT 'step-300' SCORE dot TO ROW -5 EACH

        FROM t SCORE dot TO $q EXACT BOTTOM 2 TOP 1 WHERE a ACROSS ALL LAYERS 'b*', 'c'
        ----
        SELECT * FROM t SCORE dot TO $q EACH LAYERS 'b*', 'c' ACROSS ALL WHERE a TOP 1 BOTTOM 2 EXACT

        FROM t SCORE dot TO $q ACROSS 'a' WEIGHT 2e-5, 'b', 'c' WEIGHT -3, 'd' WEIGHT +.5
        ----
        SELECT * FROM t SCORE dot TO $q EACH ACROSS 'a' WEIGHT 2e-05, 'b', 'c' WEIGHT -3.0, 'd' WEIGHT 0.5

        SELECT score, row, weight, layer, "top" FROM "score" SCORE dot TO $score
        ----
        SELECT score, row, weight, layer, "top" FROM "score" SCORE dot TO $score EACH

        from t score self all
        ----
        SELECT * FROM t SCORE self ALL

        SELECT layer, score PER LAYER FROM t SCORE dot TO ROWS WHERE a AND b > 1 MAX TOP 5%
        ----
        SELECT layer, score PER LAYER FROM t SCORE dot TO ROWS WHERE a AND b > 1 MAX TOP 5.0%

        FROM t SCORE dot TO $q SUM GROUP BY "group" WITH Count PRECONDITION fisher BOTTOM 0.5 %
        ----
        SELECT * FROM t SCORE dot TO $q SUM PRECONDITION fisher GROUP BY "group" WITH count BOTTOM 0.5%

        SELECT rows, all, sum FROM t SCORE cosine TO ROWS WHERE max < min EACH ACROSS all
        ----
        SELECT rows, all, sum FROM t SCORE cosine TO ROWS WHERE max < min EACH ACROSS ALL

        -- the first line
        FROM t /* a
        comment; with ' */ SCORE dot
           TO $q -- the end
        ----
        SELECT * FROM t SCORE dot TO $q EACH

        FROM naïve SCORE dot TO '日本.npy' TOP 9223372036854775807
        ----
        SELECT * FROM naïve SCORE dot TO '日本.npy' EACH TOP 9223372036854775807
        """)

    @Test(arguments: cases)
    func `a statement has a canonical spelling`(statement: StatementCase) throws {
        let parsed = try Statement.parse(statement.statement)
        #expect(parsed.description == statement.answer)
        #expect(try Statement.parse(parsed.description) == parsed)
    }

    static let conditions = StatementCase.cases(
        """
        a = 1 AND b = 2 OR c = 3
        ----
        a = 1 AND b = 2 OR c = 3

        a = 1 OR b = 2 AND c = 3
        ----
        a = 1 OR b = 2 AND c = 3

        (a = 1 OR b = 2) AND c = 3
        ----
        (a = 1 OR b = 2) AND c = 3

        ((a)) = ((1))
        ----
        a = 1

        (a AND b) AND c
        ----
        (a AND b) AND c

        a AND (b AND c)
        ----
        a AND (b AND c)

        not not a = b
        ----
        NOT NOT a = b

        NOT (a AND b)
        ----
        NOT (a AND b)

        (NOT a) AND NOT b OR NOT (c OR d)
        ----
        NOT a AND NOT b OR NOT (c OR d)

        a == 1 AND b <> 2 AND 3 != c AND d <= e AND f >= 'x'
        ----
        a = 1 AND b != 2 AND 3 != c AND d <= e AND f >= 'x'

        a BETWEEN 1 AND 2 AND b NOT BETWEEN -1.5 AND c
        ----
        a BETWEEN 1 AND 2 AND b NOT BETWEEN -1.5 AND c

        a IN (1, 'x', NULL, -2, TRUE) OR b NOT IN (c)
        ----
        a IN (1, 'x', NULL, -2, TRUE) OR b NOT IN (c)

        a LIKE 'x%' AND b NOT LIKE '50!%' ESCAPE '!'
        ----
        a LIKE 'x%' AND b NOT LIKE '50!%' ESCAPE '!'

        a IS NULL AND b IS NOT NULL
        ----
        a IS NULL AND b IS NOT NULL

        (a = 1) = b
        ----
        (a = 1) = b

        a = -9223372036854775808 OR a = - 5 OR a = +5 OR a = -.5
        ----
        a = -9223372036854775808 OR a = -5 OR a = 5 OR a = -0.5

        true OR False OR null
        ----
        TRUE OR FALSE OR NULL

        "select" = 1 AND row < 5 AND confidence > 0.5
        ----
        "select" = 1 AND row < 5 AND confidence > 0.5

        a+b*c-d/e%f = -g
        ----
        a + b * c - d / e % f = -g

        (a + b) * (c - (d - e)) > (a * b) * c
        ----
        (a + b) * (c - (d - e)) > (a * b) * c

        - - a < + b AND -(5) = - -5 AND -(-c) = -(a + b) AND -a * b = a - -1
        ----
        - -a < +b AND -(5) = - -5 AND - -c = -(a + b) AND -a * b = a - -1

        LENGTH(text) > 5 AND Lower ( source ) = $name AND substr(a, 1, 2+3) = coalesce(b, 'x')
        ----
        length(text) > 5 AND lower(source) = $name AND substr(a, 1, 2 + 3) = coalesce(b, 'x')

        a % 2 = 0 AND x + 1 IN (y * 2, 3) AND trim(a) NOT LIKE 'x' AND a - b IS NULL
        ----
        a % 2 = 0 AND x + 1 IN (y * 2, 3) AND trim(a) NOT LIKE 'x' AND a - b IS NULL

        a BETWEEN b + 1 AND c * 2 AND coalesce(flagged, FALSE)
        ----
        a BETWEEN b + 1 AND c * 2 AND coalesce(flagged, FALSE)

        (a AND b) + 1 = (NOT c)
        ----
        (a AND b) + 1 = (NOT c)
        """)

    @Test(arguments: conditions)
    func `a condition binds as the specification says`(condition: StatementCase) throws {
        let parsed = try Expression.parse(SourceText(condition.statement))
        #expect(parsed.description == condition.answer)
        #expect(try Expression.parse(SourceText(parsed.description)) == parsed)
        let statement = try Statement.parse(
            "FROM t SCORE dot TO $q WHERE \(condition.statement) TOP 1")
        #expect(statement.filter == parsed)
    }

    @Test func `every part knows where it was written`() throws {
        let statement = try Statement.parse(
            """
            SELECT id AS key
            FROM alpaca AT 'step' SCORE dot TO ROW -5
            LAYERS 'mlp' ACROSS 'ckpt' WEIGHT -2e-5
            WHERE (tokens = 3) AND source LIKE 'a' TOP 10 BOTTOM 20 ;
            """)
        func text(_ range: SourceRange?) -> String? {
            range.map { statement.origin.source[$0] }
        }
        #expect(text(statement.selection[0].range) == "id AS key")
        #expect(text(statement.table.range) == "alpaca")
        #expect(text(statement.version?.range) == "'step'")
        #expect(text(statement.measure.range) == "dot")
        #expect(text(statement.querySource?.range) == "ROW -5")
        #expect(text(statement.layers[0].range) == "'mlp'")
        guard case .listed(let checkpoints) = statement.checkpoints else {
            Issue.record("checkpoints were listed")
            return
        }
        #expect(text(checkpoints[0].name.range) == "'ckpt'")
        #expect(text(checkpoints[0].weight?.range) == "-2e-5")
        #expect(text(statement.filter?.range) == "(tokens = 3) AND source LIKE 'a'")
        guard case .and(let operands) = statement.filter?.node else {
            Issue.record("the condition is a conjunction")
            return
        }
        #expect(operands.map { text($0.range) } == ["(tokens = 3)", "source LIKE 'a'"])
        #expect(text(statement.top?.range) == "10")
        #expect(text(statement.bottom?.range) == "20")
        #expect(statement.text.hasPrefix("SELECT") && statement.text.hasSuffix("BOTTOM 20"))
    }

    @Test func `FROM may be left out when the caller names a table`() throws {
        let statement = try Statement.parse("SCORE dot TO $q TOP 3", defaultTable: "my table")
        #expect(statement.description == "SELECT * FROM \"my table\" SCORE dot TO $q EACH TOP 3")
        #expect(
            try Statement.parse("SELECT id, score SCORE dot TO $q", defaultTable: "t").description
                == "SELECT id, score FROM t SCORE dot TO $q EACH")
        #expect(
            try Statement.parse("AT 3 SCORE dot TO $q", defaultTable: "t").description
                == "SELECT * FROM t AT 3 SCORE dot TO $q EACH")
        #expect(
            try Statement.parse("FROM u SCORE dot TO $q", defaultTable: "t").table.value == "u")
        let error = #expect(throws: QueryError.self) { try Statement.parse("SCORE dot TO $q") }
        #expect(error?.expected == "SELECT or FROM")
    }

    @Test func `random statements read back from their canonical spelling`() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var syntax = RandomSyntax(random: LanguageRandom(seed: seed))
        for _ in 0..<1000 {
            let statement = syntax.statement()
            let spelling = statement.description
            let parsed = try Statement.parse(spelling)
            #expect(parsed == statement, "seed \(seed): \(spelling)")
            #expect(parsed.description == spelling, "seed \(seed)")
        }
    }
}
