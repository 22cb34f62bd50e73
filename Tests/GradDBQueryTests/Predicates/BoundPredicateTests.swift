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

    @Test(
        arguments: [
            ("i + 1 = 2", [0]), ("i - 1 > 0", [1, 4, 5]), ("-i = 3", [2]), ("i * i = 4", [1]),
            ("i % 2 = 1", [0, 4, 5]), ("i % 2 = -1", [2]), ("i / 2 = 0.5", [0]), ("+i < 0", [2]),
            ("i + 1 IS NULL", [3, 4]), ("i * 2 IS NULL", [3, 4]),
            ("i / 0 IS NULL", [0, 1, 2, 3, 4, 5]),
            ("i % 0 IS NOT NULL", []), ("f % 1 = 0.5", [1]), ("f / 0 IS NULL", [0, 1, 2, 3, 4, 5]),
            ("f * 1e308 * 1e10 IS NULL", [0, 1, 2, 4, 5]), ("-(i - i) = 0", [0, 1, 2, 4, 5]),
            ("abs(i) = 3", [2]), ("floor(f) = 2", [1]), ("ceil(f) = 3", [1]), ("round(f) = 3", [1]),
            ("round(f - 5) = -3", [1]), ("i + f = 2", [0]), ("i + f = 4.5", [1]),
            ("2 * i + 3 * i IN (5, 10)", [0, 1]), ("i - i BETWEEN f - 1 AND f", [0]),
            ("9223372036854775807 + 1 IS NULL", [0, 1, 2, 3, 4, 5]),
            ("1 / 3 * 3 = 1", [0, 1, 2, 3, 4, 5]),
            ("-9223372036854775808 % -1 = 0", [0, 1, 2, 3, 4, 5]),
            ("abs(-9223372036854775808) IS NULL", [0, 1, 2, 3, 4, 5]),
            ("i + NULL IS NULL", [0, 1, 2, 3, 4, 5]), ("i + i = i * 2", [0, 1, 2, 5]),
        ] as [(String, [Int])])
    func `arithmetic is of 64 bits, and what does not fit is NULL`(
        condition: String, rows: [Int]
    ) throws {
        #expect(try Self.batch.rows(where: condition) == rows)
    }

    @Test(
        arguments: [
            ("length(s) = 6", [0, 1]), ("length(s) = 2", [4]), ("length(s) = 1", [5]),
            ("length(s) IS NULL", [3]), ("lower(s) = 'alpaca'", [0, 1]), ("upper(s) = 'É'", [5]),
            ("upper('straße') = 'STRASSE'", [0, 1, 2, 3, 4, 5]),
            ("lower('ὈΔΥΣΣΕΎΣ Σ') = 'ὀδυσσεύσ σ'", [0, 1, 2, 3, 4, 5]),
            ("lower('İ') = 'i\u{307}'", [0, 1, 2, 3, 4, 5]),
            ("trim('\u{A0}\t a b \n') = 'a b'", [0, 1, 2, 3, 4, 5]),
            ("trim(' ') = ''", [0, 1, 2, 3, 4, 5]),
            ("substr(s, 2, 3) = 'lpa'", [0, 1]), ("substr(s, 0, 2) IN ('a', 'A')", [0, 1]),
            ("substr(s, -9223372036854775808, 9223372036854775807) = ''", [0, 1, 2, 4, 5]),
            ("substr(s, 1, -1) IS NULL", [0, 1, 2, 3, 4, 5]), ("substr(s, f) = 'lpaca'", []),
            ("substr(s, 1.5) IS NULL", [0, 1, 2, 3, 4, 5]), ("substr(s, 2.0) = 'lpaca'", [0, 1]),
            ("substr(s, f, 1) = 'a'", [0]), ("substr(s, 1, 1e300) = s", [0, 1, 2, 4, 5]),
            ("substr('x', -i) IS NULL", [3]), ("substr('x', 1, i) IS NULL", [2, 3]),
            ("substr(s, 5) = 'ca'", [0, 1]),
            ("substr(s, i) = 'lpaca'", [1]), ("substr(s, i, 1) = 'a'", [0]),
            ("substr(s, 1, i) = 'a'", [0]),
            ("substr(s, 9223372036854775807, 9223372036854775807) = ''", [0, 1, 2, 4, 5]),
            ("coalesce(s, r, 'none') = 'none'", []), ("coalesce(r, s, 'none') = ''", [2]),
            ("coalesce(none, s) = 'é'", [5]), ("coalesce(i, 7) = 7", [3]),
            ("coalesce(i, f) = 0", [3]),
            ("coalesce(b, FALSE)", [0, 3]), ("NOT coalesce(b, NULL, FALSE)", [1, 2, 4, 5]),
            ("coalesce(NULL, NULL) IS NULL", [0, 1, 2, 3, 4, 5]),
            ("coalesce(i, 1.5) = 9007199254740992", [5]),
            ("LENGTH(Upper(lower(TRIM(s)))) = length(s)", [0, 1, 2, 4, 5]),
            ("length(NULL) > 0", []),
            ("lower(s) LIKE '%pac%'", [0, 1]), ("lower(s) = lower(r)", [0, 1, 5]),
            ("lower(s) IN (lower(r), 'x')", [0, 1, 5]), ("coalesce(b, i = i)", nil),
        ] as [(String, [Int]?)])
    func `functions`(condition: String, rows: [Int]?) throws {
        if let rows {
            #expect(try Self.batch.rows(where: condition) == rows)
        } else {
            #expect(throws: QueryError.self) { try Self.batch.rows(where: condition) }
        }
    }

    @Test(
        arguments: [
            ("i = $n", "1", [0]), ("i = $n", "+1", [0]), ("i < $n", "1.5", [0, 2]),
            ("$n >= i", "2e0", [0, 1, 2]),
            ("s = $n", "alpaca", [0]), ("s = $n", "", [2]), ("lower(s) = $n", "alpaca", [0, 1]),
            ("b = $n", "true", [0, 3]), ("b = $n", "FALSE", [1, 4]), ("$n AND b", "True", [0, 3]),
            ("NOT $n", "false", [0, 1, 2, 3, 4, 5]), ("i + $n = 2", "1", [0]),
            ("i IN ($n, 2)", "1", [0, 1]),
            ("$n IN ('1', s)", "1", [0, 1, 2, 3, 4, 5]), ("i BETWEEN $n AND 2", "0", [0, 1]),
            ("$n BETWEEN i AND 2", "2", [0, 1, 2]), ("$n LIKE '1_'", "12", [0, 1, 2, 3, 4, 5]),
            ("$n IS NULL", "", []), ("coalesce(s, $n) = 'x'", "x", [3]),
            ("coalesce($n, $n) = i", "1", [0]),
            ("substr(s, $n) = 'ca'", "5", [0, 1]), ("length($n) = i", "ab", [1]),
            ("$n = $n", "x", [0, 1, 2, 3, 4, 5]),
            ("i = $n", "-9223372036854775808", []),
            ("coalesce($n, NULL)", "TRUE", [0, 1, 2, 3, 4, 5]),
        ] as [(String, String, [Int])])
    func `a parameter is read as what stands beside it`(
        condition: String, value: String, rows: [Int]
    ) throws {
        #expect(try Self.batch.rows(where: condition, parameters: ["n": value]) == rows)
    }

    @Test(
        arguments: [
            ("i = $n", ""), ("i = $n", "x"), ("i = $n", "nan"), ("f < $n", "inf"),
            ("i = $n", "0x10"),
            ("i = $n", "1 2"), ("i = $n", "9223372036854775808"), ("b = $n", "1"), ("$n", "yes"),
            ("i + $n = 2", "a"), ("i = $m", "1"), ("abs($n) = 1", "TRUE"), ("i = $n", "5ms"),
            ("i = $n", "1--2"),
        ])
    func `a parameter that cannot be read is refused`(condition: String, value: String) throws {
        let error = #expect(throws: QueryError.self) {
            try Self.batch.rows(where: condition, parameters: ["n": value])
        }
        #expect(error.map { condition.utf8.dropFirst($0.range.start).first } == UInt8(ascii: "$"))
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
            ("TRUE AND NULL", .unknown), ("1 + 1 = 2", .yes), ("lower('A') = 'A'", .no),
            ("length('é') > 1", .no), ("i + NULL > 1", .unknown), ("coalesce(TRUE, b)", .yes),
            ("1 / 0 > 1", .unknown), ("coalesce(i, 1) > 1", nil),
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

    @Test(arguments: [
        "s = 'x'", "s = r", "r = s", "s LIKE '%'", "length(s) > 1", "lower(s) = 'x'", "s IN (r)",
        "substr(s, 1, i) = 'x'", "coalesce(s, r) = 'x'", "coalesce(s, 'x') = 'x'",
        "substr(s, 1) = 'x'",
    ])
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
        let sum = "i" + String(repeating: " + 1 - 1", count: 10_000) + " = 1"
        #expect(try Self.batch.rows(where: sum) == [0])
        let columns = "i + 1 IN (f" + String(repeating: ", i", count: 10_000) + ", 2)"
        #expect(try Self.batch.rows(where: columns) == [0])
        let list = "i IN (1" + String(repeating: ", 77", count: 100_000) + ")"
        #expect(try Self.batch.rows(where: list) == [0])
    }
}
