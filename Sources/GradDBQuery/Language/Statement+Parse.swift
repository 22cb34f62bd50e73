// The ways in: text to a statement, a script to its statements, and a condition alone.

extension Statement {
    /// Reads one statement; a semicolon may stand behind it.
    ///
    /// - Parameter defaultTable: the table that is meant when FROM is left out; without it FROM is
    ///   required.
    package static func parse(
        _ text: String, defaultTable: String? = nil
    ) throws(QueryError) -> Statement {
        guard text.utf8.count <= Parser.maximumStatementBytes else {
            // Only the beginning is looked at: it is all that the error shows.
            let beginning = SourceText(String(decoding: text.utf8.prefix(1024), as: UTF8.self))
            throw Parser.tooLong(beginning, at: SourceRange(0, 0))
        }
        var parser = try Parser(SourceText(text), defaultTable: defaultTable)
        let statement = try parser.statement()
        let semicolon = try parser.accept(.semicolon)
        guard parser.current.kind == .end else {
            throw parser.unexpected(
                "the end of the text" + (semicolon == nil ? "" : " behind ';'"),
                hint: "several statements belong in a script")
        }
        return statement
    }

    /// Reads statements that each end with a semicolon; behind the last one it may be left out.
    ///
    /// Positions in the statements and in errors are those in the whole script.
    package static func parseScript(
        _ text: String, defaultTable: String? = nil
    ) throws(QueryError) -> [Statement] {
        guard text.utf8.count <= Parser.maximumScriptBytes else {
            let beginning = SourceText(String(decoding: text.utf8.prefix(1024), as: UTF8.self))
            throw beginning.error(
                "this script is longer than \(Parser.maximumScriptBytes) bytes",
                at: SourceRange(0, 0), expected: "a shorter one",
                hint: "split it into several files")
        }
        var parser = try Parser(SourceText(text), defaultTable: defaultTable)
        var statements: [Statement] = []
        while true {
            while try parser.acceptEmptyStatement() {}
            if parser.current.kind == .end { return statements }
            statements.append(try parser.statement())
            guard parser.current.kind == .end || parser.current.kind == .symbol(.semicolon) else {
                throw parser.unexpected("';' or the end of the script")
            }
        }
    }
}

extension Expression {
    /// Reads a condition that stands alone, as on a command line.
    package static func parse(_ source: SourceText) throws(QueryError) -> Expression {
        guard source.bytes.count <= Parser.maximumStatementBytes else {
            throw Parser.tooLong(source, at: SourceRange(0, 0))
        }
        var parser = try Parser(source)
        let expression = try parser.expression()
        guard parser.current.kind == .end else {
            throw parser.unexpectedBehindCondition("the end of the condition")
        }
        return expression
    }
}
