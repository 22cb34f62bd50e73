// Files of statements: where one ends, and where each one stands.

import GradDBQuery
import Testing

@Suite struct ScriptParsingTests {
    @Test(arguments: [
        ("", 0), (" ;; ; -- nothing\n;", 0), ("FROM a SCORE dot TO $q", 1),
        ("FROM a SCORE dot TO $q;", 1), ("FROM a SCORE dot TO $q;;\n;FROM b SCORE dot TO $q", 2),
        ("FROM a SCORE dot TO 'x;y' -- ; no end\n WHERE b = ';' /* ; */ TOP 1; ; ", 1),
    ])
    func `semicolons end statements`(script: String, count: Int) throws {
        #expect(try Statement.parseScript(script).count == count)
    }

    @Test func `each statement knows its own text`() throws {
        let script = "-- one\nFROM a SCORE dot TO $q ;\n\n  FROM b\n  SCORE dot TO $q TOP 2"
        let statements = try Statement.parseScript(script)
        #expect(
            statements.map(\.text) == [
                "FROM a SCORE dot TO $q", "FROM b\n  SCORE dot TO $q TOP 2",
            ])
        #expect(statements.map(\.table.value) == ["a", "b"])
    }

    @Test func `an error has its line in the whole script`() {
        let error = #expect(throws: QueryError.self) {
            try Statement.parseScript("FROM a SCORE dot TO $q;\n\nFROM b SCORE dot TO $q TOP 0;")
        }
        #expect(
            error?.rendered == """
                line 3, column 28: TOP 0 is no number of rows; expected a whole number of rows, at least 1, or a percentage
                  FROM b SCORE dot TO $q TOP 0;
                                             ^
                """)
    }

    @Test func `a later error points into the script, too`() throws {
        let statements = try Statement.parseScript(
            "FROM a SCORE dot TO $q;\nFROM b SCORE dot TO $q")
        let error = statements[1].error(
            "unknown table", at: statements[1].table.range, expected: "a")
        #expect((error.line, error.column) == (2, 6))
    }

    @Test func `a default table serves every statement`() throws {
        let statements = try Statement.parseScript(
            "SCORE dot TO $q; FROM u SCORE dot TO $q", defaultTable: "t")
        #expect(statements.map(\.table.value) == ["t", "u"])
    }
}
