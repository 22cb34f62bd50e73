// Where an error points: lines, columns and carets, whatever stands before them.

import GradDB
import GradDBQuery
import Testing

@Suite struct SourceExcerptTests {
    /// The excerpt of the first occurrence of `part`.
    private func excerpt(_ part: String, in text: String) throws -> (SourceExcerpt, QueryError) {
        let source = SourceText(text)
        let needle = Array(part.utf8)
        let start = try #require(
            source.bytes.indices.first { source.bytes[$0...].starts(with: needle) })
        let range = SourceRange(start, start + needle.count)
        return (
            SourceExcerpt(of: range, in: source), source.error("m", at: range, expected: "e")
        )
    }

    @Test(arguments: [
        ("abc def", 1, 5, "abc def", "    ^^^"),
        ("x\ny def z", 2, 3, "y def z", "  ^^^"),
        ("x\r\ny def\r\nz", 2, 3, "y def", "  ^^^"),
        ("\tdef", 1, 2, " def", " ^^^"),
        ("a\tdef", 1, 3, "a def", "  ^^^"),
        ("日本 def", 1, 4, "日本 def", "     ^^^"),
        ("e\u{301} def", 1, 4, "e\u{301} def", "  ^^^"),
        ("\u{1F9EA} def", 1, 3, "\u{1F9EA} def", "   ^^^"),
        ("\u{1B}[2J def", 1, 6, "\u{FFFD}[2J def", "     ^^^"),
        ("\u{202E} def", 1, 3, "\u{FFFD} def", "  ^^^"),
        ("\n\n\ndef", 4, 1, "def", "^^^"),
    ])
    func `the caret stands below the text`(
        text: String, line: Int, column: Int, shown: String, carets: String
    ) throws {
        let (excerpt, error) = try excerpt("def", in: text)
        #expect(excerpt.line == shown)
        #expect(excerpt.carets == carets)
        #expect((error.line, error.column) == (line, column))
    }

    @Test func `carets of a range over several lines end with its first line`() throws {
        let (excerpt, _) = try excerpt("bc\nde", in: "abc\ndef")
        #expect(excerpt.line == "abc")
        #expect(excerpt.carets == " ^^")
    }

    @Test func `wide characters take two carets`() throws {
        #expect(try excerpt("本", in: "日本語").0.carets == "  ^^")
    }

    @Test(arguments: [0, 1, 39, 40, 41, 60, 78, 79, 80, 81, 200, 5000, 100_000])
    func `a long line is shown as a window of 80 columns around the caret`(before: Int) throws {
        for after in [0, 1, 40, 80, 5000] {
            let text =
                String(repeating: "a", count: before) + "!!" + String(repeating: "b", count: after)
            let (excerpt, error) = try excerpt("!!", in: text)
            #expect(error.column == before + 1)
            #expect(excerpt.line.count <= SourceExcerpt.maximumColumns)
            #expect(excerpt.line.count >= min(text.count, SourceExcerpt.maximumColumns - 2))
            let caret = excerpt.carets.count - 2
            #expect(excerpt.carets.hasSuffix("^^"))
            #expect(Array(excerpt.line)[caret...].prefix(2) == ["!", "!"])
            #expect(excerpt.line.hasPrefix("…") == !text.hasPrefix(excerpt.line.prefix(10)))
        }
    }

    @Test func `the window counts columns of wide characters`() throws {
        let wide = String(repeating: "語", count: 300)
        let (excerpt, _) = try excerpt("x", in: wide + "x" + wide)
        #expect(excerpt.line.contains("x"))
        #expect(excerpt.line.count <= 42)
        let before = try #require(excerpt.line.firstIndex(of: "x"))
        let columns = excerpt.line[..<before].reduce(0) { $0 + ($1 == "…" ? 1 : 2) }
        #expect(excerpt.carets == String(repeating: " ", count: columns) + "^")
    }

    @Test func `the end of the text has a place, too`() {
        let source = SourceText("abc")
        let excerpt = SourceExcerpt(of: SourceRange(3, 3), in: source)
        #expect(excerpt.carets == "   ^")
        #expect(source.position(of: 3) == (1, 4))
        #expect(SourceExcerpt(of: SourceRange(0, 0), in: SourceText("")).carets == "^")
    }

    @Test func `an error renders position, expectation, text and hint`() {
        let source = SourceText("one\ntwo three")
        let error = source.error(
            "wrong", at: SourceRange(8, 13), expected: "right", hint: "try four")
        let rendered = """
            line 2, column 5: wrong; expected right
              two three
                  ^^^^^
            hint: try four
            """
        #expect(error.rendered == rendered)
        #expect("\(error)" == rendered)
        #expect(GradDBError(error).kind == .usage)
        #expect(GradDBError(error).message == rendered)
    }

    @Test func `a message cannot carry control characters to a terminal`() {
        let error = SourceText("a").error(
            "name \u{1B}[2J\n", at: SourceRange(0, 1), expected: "\u{7}", hint: "\u{9B}")
        #expect(!error.rendered.unicodeScalars.contains { $0 == "\u{1B}" || $0 == "\u{7}" })
        #expect(error.message == "name \u{FFFD}[2J\u{FFFD}")
        #expect(error.hint == "\u{FFFD}")
    }
}
