// The words of the language: what is one token, where it stands, and what is none.

import GradDBQuery
import Testing

@Suite struct LexerTests {
    private func tokens(_ text: String) throws -> [Token] {
        var lexer = Lexer(SourceText(text))
        var tokens: [Token] = []
        while true {
            let token = try lexer.next()
            if token.kind == .end { return tokens }
            tokens.append(token)
        }
    }

    @Test(
        arguments: [
            ("name", .word("name")), ("_a1", .word("_a1")), ("naïve", .word("naïve")),
            ("\"two words\"", .quotedName("two words")), ("\"a\"\"b\"", .quotedName("a\"b")),
            ("'it''s'", .string("it's")), ("''", .string("")), ("'a\nb'", .string("a\nb")),
            ("$query_1", .parameter("query_1")),
            ("0", .integer(0)), ("007", .integer(7)),
            ("18446744073709551615", .integer(.max)),
            ("1.5", .float(1.5)), (".5", .float(0.5)), ("2e-5", .float(2e-5)),
            ("1E+3", .float(1000)),
            ("200ms", .duration(seconds: 0.2)), ("1.5s", .duration(seconds: 1.5)),
            ("2m", .duration(seconds: 120)), ("3us", .duration(seconds: 3e-6)),
            ("==", .symbol(.equal)), ("<>", .symbol(.notEqual)), ("!=", .symbol(.notEqual)),
            ("<=", .symbol(.lessOrEqual)), (">=", .symbol(.greaterOrEqual)),
        ] as [(String, Token.Kind)])
    func `one token`(text: String, kind: Token.Kind) throws {
        let tokens = try tokens("  \(text) ")
        #expect(tokens == [Token(kind, SourceRange(2, 2 + text.utf8.count))])
    }

    @Test(arguments: [
        ("a.b", 3), ("a-b", 3), ("a--b", 1), ("a/**/b", 2), ("/* ; ' */a", 1), ("-- '\na", 1),
        ("a<-1", 4), ("1.e", 3), ("1..2", 3), ("a\u{A0}b", 2), ("\u{FEFF}a", 1), ("(,)*%;", 6),
        ("'a''b' 'c'", 2), ("/* -- */a", 1), ("/**/", 0), ("", 0), ("--", 0),
    ])
    func `tokens are told apart`(text: String, count: Int) throws {
        #expect(try tokens(text).count == count)
    }

    @Test func `keywords have no case, and only ASCII letters have one`() {
        #expect(Keyword(word: "SeLeCt") == .select)
        #expect(Keyword(word: "LIKE") == .like)
        #expect(Keyword(word: "l\u{131}ke") == nil)
        #expect(Keyword(word: "\u{17F}elect") == nil)
        for keyword in Keyword.allCases {
            #expect(Keyword(word: keyword.spelling) == keyword)
        }
    }

    @Test func `the end stands just behind the last token`() throws {
        var lexer = Lexer(SourceText("abc -- comment\n\n  "))
        _ = try lexer.next()
        let end = try lexer.next()
        #expect(end == Token(.end, SourceRange(3, 3)))
        #expect(try lexer.next() == end)
    }

    @Test(arguments: [
        "'open", "\"open", "/* open", "\"\"", "$", "$1", "1x", "1_000", "0x1F", "5e", "1e999",
        "18446744073709551616", "#", "a ? b", "!", "&&", "`a`", "“a”", "\u{0}", "1e308h",
    ])
    func `what is no token is refused where it stands`(text: String) {
        let error = #expect(throws: QueryError.self) { try tokens("a = " + text) }
        #expect((error?.range.start ?? 0) >= 4)
        #expect(error?.expected.isEmpty == false)
    }
}
