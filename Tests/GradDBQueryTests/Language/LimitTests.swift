// The bounds: what is too long, too deep or too large is refused, and what is not works.

import GradDBQuery
import Testing

@Suite struct LimitTests {
    private func condition(_ text: String) throws -> Expression {
        try Expression.parse(SourceText(text))
    }

    private func nested(_ open: String, _ inner: String, _ close: String, levels: Int) -> String {
        String(repeating: open, count: levels) + inner + String(repeating: close, count: levels)
    }

    @Test func `a statement over 1 MiB is refused before it is read`() {
        let long = "FROM t SCORE dot TO '" + String(repeating: "x", count: 1 << 20) + "'"
        let seconds = ContinuousClock().measure {
            let error = #expect(throws: QueryError.self) { try Statement.parse(long) }
            #expect(error?.message == "this statement is longer than 1048576 bytes")
            #expect(error.map { ($0.line, $0.column) } ?? (0, 0) == (1, 1))
            #expect((error?.rendered.count ?? .max) < 400)
        }
        #expect(seconds < .seconds(1))
        #expect(throws: QueryError.self) { try condition("a = '\(long)'") }
    }

    @Test func `a script may be longer than a statement, its statements may not`() throws {
        let statement = "FROM t SCORE dot TO '" + String(repeating: "x", count: 600_000) + "';\n"
        #expect(try Statement.parseScript(statement + statement).count == 2)
        let long = "FROM t SCORE dot TO '" + String(repeating: "x", count: 1 << 20) + "'"
        let error = #expect(throws: QueryError.self) {
            try Statement.parseScript("FROM t SCORE dot TO $q;\n" + long)
        }
        #expect(error?.line == 2)
    }

    @Test(arguments: [
        ("(", ")", Parser.maximumDepth), ("NOT ", "", Parser.maximumDepth),
        ("NOT (", ")", Parser.maximumDepth / 2), ("a = (", ")", Parser.maximumDepth),
        ("a IN ((", "))", Parser.maximumDepth), ("- ", "", Parser.maximumDepth),
        ("abs(", ")", Parser.maximumDepth), ("-abs((", "))", Parser.maximumDepth / 3),
    ])
    func `nesting is limited, and the limit can be reached`(
        open: String, close: String, fits: Int
    ) throws {
        _ = try condition(nested(open, "a", close, levels: fits))
        for levels in [Parser.maximumDepth + 1, 100_000] {
            let error = #expect(throws: QueryError.self) {
                try condition(nested(open, "a", close, levels: levels))
            }
            #expect(error?.message == "this condition is nested too deeply")
        }
    }

    @Test func `chains of AND and OR have no limit of their own`() throws {
        let chain = try condition("a" + String(repeating: " AND b", count: 100_000))
        guard case .and(let operands) = chain.node else {
            Issue.record("one conjunction")
            return
        }
        #expect(operands.count == 100_001)
        #expect(chain.description.utf8.count > 600_000)
        let list = "a IN (1" + String(repeating: ", 2", count: 100_000) + ")"
        #expect(try condition(list).description == list)
    }

    @Test(arguments: [
        ("9223372036854775807", true), ("-9223372036854775808", true),
        ("9223372036854775808", false), ("-9223372036854775809", false),
        ("99999999999999999999", false), ("1e308", true), ("1e309", false), ("-1e309", false),
        ("1e-400", true), ("9223372036854775808.0", true),
    ])
    func `numbers that do not fit are refused where they stand`(number: String, fits: Bool) {
        if fits {
            #expect(throws: Never.self) { try condition("a = \(number)") }
        } else {
            let error = #expect(throws: QueryError.self) { try condition("a = \(number)") }
            #expect(error?.message == "this number is too large")
            #expect((error?.column ?? 0) >= 5)
        }
    }
}
