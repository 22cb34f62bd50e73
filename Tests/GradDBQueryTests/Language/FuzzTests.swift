// No text whatever crashes the parser or the binder; each refusal says where and what instead.

import GradDB
import GradDBQuery
import Testing

@Suite struct FuzzTests {
    private static let seeds =
        StatementParsingTests.cases.map(\.statement) + [
            "SELECT a AS \"b\" FROM t AT 3 SCORE dot TO ROW 5 MEAN WHERE NOT (a = -1.5e3 OR b IN ('x', "
                + "NULL)) AND c BETWEEN 1 AND 2 AND d NOT LIKE '%_!%' ESCAPE '!' TOP 10 BOTTOM 5 EXACT",
            "FROM t SCORE dot TO $q PRECONDITION f GROUP BY a WITH sum TOP 5% CONFIDENCE 0.9 BUDGET 9ms",
        ]

    private static let fragments =
        Keyword.allCases.map { " \($0.spelling) " } + [
            "'", "\"", "--", "/*", "*/", ";", "(", ")", "$", "$q", "'s'", "5", "-", "1e999", "%",
            "9223372036854775808", ",", "=", "\n", "\t", "\r", "\0", "日本", "\u{301}", "\u{1F9EA}",
            " a ", " tokens ", " source ", "200ms", "!", ".", "…",
        ]

    private static let schema = [
        Field(name: "a", type: .int), Field(name: "b", type: .string),
        Field(name: "c", type: .float), Field(name: "d", type: .bool),
        Field(name: "tokens", type: .int), Field(name: "source", type: .string),
    ]

    private func randomBytes(_ random: inout LanguageRandom) -> String {
        let bytes = (0..<random.below(60)).map { _ in
            random.chance(2) ? UInt8(random.below(256)) : UInt8(32 + random.below(95))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func mutation(_ random: inout LanguageRandom) -> String {
        var bytes = Array(random.pick(Self.seeds).utf8)
        for _ in 0...random.below(4) {
            let start = random.below(bytes.count + 1)
            let end = min(bytes.count, start + random.below(8))
            switch random.below(4) {
            case 0: bytes.removeSubrange(start..<end)
            case 1: bytes.insert(contentsOf: random.pick(Self.fragments).utf8, at: start)
            case 2: bytes.replaceSubrange(start..<end, with: random.pick(Self.fragments).utf8)
            default: bytes.insert(contentsOf: bytes[start..<end], at: random.below(bytes.count + 1))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private func check(_ text: String, seed: UInt64) {
        do {
            let statements = try Statement.parseScript(text)
            for statement in statements {
                #expect(try Statement.parse(statement.description) == statement)
                if let filter = statement.filter {
                    _ = try BoundPredicate(
                        filter, in: statement.origin.source, schema: Self.schema)
                }
            }
        } catch {
            let isInside =
                error.range.start <= error.range.end && error.range.end <= text.utf8.count
            if !isInside || error.line < 1 || error.column < 1 || error.message.isEmpty
                || error.expected.isEmpty || !error.rendered.contains("^")
            {
                Issue.record("seed \(seed), statement \(text.debugDescription): \(error)")
            }
        }
    }

    @Test func `random bytes are refused with a place and an expectation`() {
        let seed = UInt64.random(in: 0 ... .max)
        print("fuzz of random bytes: seed \(seed)")
        var random = LanguageRandom(seed: seed)
        for _ in 0..<10_000 { check(randomBytes(&random), seed: seed) }
    }

    @Test func `mutated statements are read, or refused with a place and an expectation`() {
        let seed = UInt64.random(in: 0 ... .max)
        print("fuzz of mutated statements: seed \(seed)")
        var random = LanguageRandom(seed: seed)
        for _ in 0..<10_000 { check(mutation(&random), seed: seed) }
    }
}
