// What conditions select: SQL's three truth values, types that mix, and strings by their bytes.

import GradDB
import GradDBQuery
import Testing

@Suite struct BoundPredicateTests {
    /// Rows 0 to 5; every column has a NULL.
    static let batch: PredicateBatch = {
        var batch = PredicateBatch()
        batch.add("i", .int, [.int(1), .int(2), .int(-3), nil, .int(.max), .int(1 << 53 + 1)])
        batch.add(
            "f", .float,
            [.float(1), .float(2.5), nil, .float(-0.0), .float(0x1p63), .float(0x1p53)])
        batch.add("b", .bool, [.bool(true), .bool(false), nil, .bool(true), .bool(false), nil])
        batch.add(
            "s", .string,
            [
                .string("alpaca"), .string("Alpaca"), .string(""), nil, .string("e\u{301}"),
                .string("é"),
            ])
        batch.add(
            "r", .string,
            [
                .string("alpaca"), .string("alpaca"), nil, .string("x"), .string("é"),
                .string("é"),
            ])
        batch.add("none", .string, [nil, nil, nil, nil, nil, nil])
        return batch
    }()

    @Test(
        arguments: [
            ("i = 1", [0]), ("i != 1", [1, 2, 4, 5]), ("NOT i = 1", [1, 2, 4, 5]),
            ("i < 2", [0, 2]),
            ("i >= 2", [1, 4, 5]), ("2 <= i", [1, 4, 5]), ("i = NULL", []), ("i != NULL", []),
            ("i IS NULL", [3]), ("i IS NOT NULL", [0, 1, 2, 4, 5]),
            ("NOT i IS NULL", [0, 1, 2, 4, 5]),
            ("i = 1 OR i IS NULL", [0, 3]), ("i = 1 OR TRUE", [0, 1, 2, 3, 4, 5]),
            ("i = 1 OR NULL", [0]), ("NOT (i = 1 OR NULL)", []),
            ("NOT (i = 1 AND NULL)", [1, 2, 4, 5]),
            ("i BETWEEN 1 AND 2", [0, 1]), ("i NOT BETWEEN 1 AND 2", [2, 4, 5]),
            ("i BETWEEN 2 AND 1", []), ("i NOT BETWEEN 2 AND 1", [0, 1, 2, 4, 5]),
            ("i BETWEEN NULL AND 1", []), ("i NOT BETWEEN NULL AND 1", [1, 4, 5]),
            ("i IN (1, -3, 7)", [0, 2]), ("i NOT IN (1, -3)", [1, 4, 5]), ("i IN (1, NULL)", [0]),
            ("i NOT IN (1, NULL)", []), ("i IN (1.0, 2.5)", [0]), ("i IN (NULL)", []),
            ("i IN (f, 2)", [0, 1]), ("2 IN (i, f)", [1]), ("1 BETWEEN i AND f", [0]),
        ] as [(String, [Int])])
    func `integers`(condition: String, rows: [Int]) throws {
        #expect(try Self.batch.rows(where: condition) == rows)
    }

    @Test(
        arguments: [
            ("i = 1.0", [0]), ("i < 1.5", [0, 2]), ("i > -3.5", [0, 1, 2, 4, 5]), ("i = 1.5", []),
            ("i != 1.5", [0, 1, 2, 4, 5]), ("i < 9223372036854775808.0", [0, 1, 2, 4, 5]),
            ("i >= 9223372036854775808.0", []), ("i = 9007199254740992.0", []),
            ("i > 9007199254740992.0", [4, 5]), ("i = 9007199254740993", [5]),
            ("f = 9007199254740993", []), ("f = 9007199254740992", [5]),
            ("f < 9007199254740993", [0, 1, 3, 5]), ("f > 9223372036854775807", [4]),
            ("f = 0", [3]), ("f = -0.0", [3]), ("f IN (0, 2.5, 9007199254740993)", [1, 3]),
            ("f BETWEEN 1 AND 2.5", [0, 1]), ("i = f", [0]), ("i > f", [5]), ("f > i", [1, 4]),
            ("f = f", [0, 1, 3, 4, 5]), ("i != i", []), ("1 = 1.0", [0, 1, 2, 3, 4, 5]),
            ("9007199254740993 = 9007199254740992.0", []), ("1 < NULL", []),
        ] as [(String, [Int])])
    func `integers and floats compare exactly`(condition: String, rows: [Int]) throws {
        #expect(try Self.batch.rows(where: condition) == rows)
    }

    @Test(
        arguments: [
            ("b", [0, 3]), ("NOT b", [1, 4]), ("b = TRUE", [0, 3]), ("b = FALSE", [1, 4]),
            ("b != TRUE", [1, 4]), ("b IS NULL", [2, 5]), ("b IN (FALSE)", [1, 4]),
            ("b IN (TRUE, NULL)", [0, 3]), ("b NOT IN (TRUE, NULL)", []), ("b = b", [0, 1, 3, 4]),
            ("NULL", []), ("NOT NULL", []), ("TRUE", [0, 1, 2, 3, 4, 5]), ("FALSE", []),
            ("NULL IS NULL AND 1 IS NOT NULL", [0, 1, 2, 3, 4, 5]), ("b AND NULL", []),
            ("NOT (b AND NULL)", [1, 4]), ("b OR NULL", [0, 3]),
            ("b AND i > 0", [0]), ("b OR i > 0", [0, 1, 3, 4, 5]), ("NOT (b OR i > 0)", []),
            ("NOT (b AND i > 1)", [0, 1, 2, 4]),
        ] as [(String, [Int])])
    func `bools and the three truth values`(condition: String, rows: [Int]) throws {
        #expect(try Self.batch.rows(where: condition) == rows)
    }

    @Test(
        arguments: [
            ("s = 'alpaca'", [0]), ("s != 'alpaca'", [1, 2, 4, 5]), ("s < 'a'", [1, 2]),
            ("s >= 'alpaca'", [0, 4, 5]), ("s = ''", [2]), ("s IS NULL", [3]),
            ("s = 'é'", [5]), ("s > 'z'", [5]), ("s LIKE '%paca'", [0, 1]),
            ("s NOT LIKE '%paca'", [2, 4, 5]), ("s LIKE '_'", [5]), ("s LIKE '__'", [4]),
            ("s IN ('alpaca', 'é', 'other')", [0, 5]), ("s NOT IN ('alpaca')", [1, 2, 4, 5]),
            ("s BETWEEN 'A' AND 'B'", [1]), ("s = r", [0, 5]), ("s < r", [1, 4]),
            ("s != r", [1, 4]),
            ("r > s", [1, 4]), ("none = 'a' OR none LIKE '%'", []), ("none = s", []),
            ("none IS NULL AND i = 1", [0]), ("'a' LIKE '_' AND i = 1", [0]), ("NULL LIKE '%'", []),
            ("s NOT IN ('alpaca', r)", [1, 4]),
        ] as [(String, [Int])])
    func `strings compare by their bytes`(condition: String, rows: [Int]) throws {
        #expect(try Self.batch.rows(where: condition) == rows)
    }

    private func bind(_ condition: String) throws -> BoundPredicate {
        let source = SourceText(condition)
        return try BoundPredicate(
            Expression.parse(source), in: source, schema: Self.batch.schema)
    }

    @Test(
        arguments: [
            ("i = 1 AND s = 'x' OR i IS NULL", ["i", "s"]), ("f = i", ["f", "i"]), ("TRUE", []),
            ("FALSE AND i = 1", []), ("i = NULL", []), ("TRUE OR b", []), ("b AND TRUE", ["b"]),
        ] as [(String, [String])])
    func `a predicate names the columns that it needs`(condition: String, names: [String]) throws {
        #expect(try bind(condition).columns.map(\.name) == names)
    }

    @Test(
        arguments: [
            ("TRUE", .yes), ("1 > 2", .no), ("NULL", .unknown), ("NOT (FALSE AND i = 1)", .yes),
            ("i = NULL", .unknown), ("i = 1", nil), ("NULL OR i = 1", nil),
            ("TRUE AND NULL", .unknown),
        ] as [(String, Truth?)])
    func `what no row can change is known beforehand`(condition: String, truth: Truth?) throws {
        #expect(try bind(condition).constant == truth)
    }

    @Test func `no rows are no trouble`() throws {
        var batch = PredicateBatch()
        batch.add("i", .int, [])
        #expect(try batch.rows(where: "i = 1 OR TRUE") == [])
    }

    @Test func `columns that do not fit are refused`() throws {
        let predicate = try bind("i = 1 AND s = 'x'")
        let good = Self.batch.columns
        var missing = good
        missing["s"] = nil
        var mistyped = good
        mistyped["s"] = good["i"]
        var shifted = good
        shifted["s"]?.firstRow = 5
        var short = good
        short["s"]?.isPresent.removeLast()
        for batch in [missing, mistyped, shifted, short] {
            let error = #expect(throws: GradDBError.self) {
                try predicate.mask(over: batch, rowCount: 6)
            }
            #expect(error?.kind == .failed)
        }
        #expect(throws: GradDBError.self) { try predicate.mask(over: good, rowCount: 5) }
    }

    @Test(arguments: ["s = 'x'", "s = r", "r = s", "s LIKE '%'"])
    func `a code beyond the dictionary is damage, not a crash`(condition: String) throws {
        var batch = Self.batch.columns
        batch["s"]?.values = .string(dictionary: ["x"], codes: [0, 0, 0, 9, 0, 1])
        let error = #expect(throws: GradDBError.self) {
            try bind(condition).mask(over: batch, rowCount: 6)
        }
        #expect(error?.kind == .corrupt)
    }

    @Test func `a long chain and a long list are evaluated`() throws {
        let chain = "i = 1" + String(repeating: " OR i = 2", count: 10_000)
        #expect(try Self.batch.rows(where: chain) == [0, 1])
        let list = "i IN (1" + String(repeating: ", 77", count: 100_000) + ")"
        #expect(try Self.batch.rows(where: list) == [0])
    }
}
