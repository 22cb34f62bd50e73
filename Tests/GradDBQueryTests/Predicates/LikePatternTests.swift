// LIKE: % and _ over Unicode scalars, case-sensitive, in bounded time.

import GradDBQuery
import Testing

@Suite struct LikePatternTests {
    @Test(arguments: [
        ("", "", true), ("", "a", false), ("%", "", true), ("%", "anything", true),
        ("_", "", false), ("_", "a", true), ("_", "ab", false), ("__", "ab", true),
        ("abc", "abc", true), ("abc", "ABC", false), ("abc", "abcd", false), ("abc", "ab", false),
        ("a%", "a", true), ("a%", "abc", true), ("a%", "ba", false), ("%c", "abc", true),
        ("%b%", "abc", true), ("%d%", "abc", false), ("a%c", "abbbc", true), ("a%c", "ac", true),
        ("a%c", "abcd", false), ("a_c", "abc", true), ("a_c", "ac", false), ("%_", "", false),
        ("%_", "a", true), ("_%_", "a", false), ("_%_", "ab", true), ("%%", "a", true),
        ("%ab%ab%", "xabyabz", true), ("%ab%ab%", "xabz", false), ("%aab", "aaab", true),
        ("_", "é", true), ("_", "日", true), ("_", "\u{1F9EA}", true), ("__", "e\u{301}", true),
        ("é", "e\u{301}", false), ("%本%", "日本語", true), ("日_語", "日本語", true),
        ("%_語", "日本語", true), ("%\u{AC}", "€", false),
        ("a\nb%", "a\nbc", true), ("a.c", "abc", false), ("[a]", "a", false), ("\\%", "\\x", true),
    ])
    func `a pattern matches the whole of a text`(pattern: String, text: String, matches: Bool) {
        #expect(LikePattern(pattern)?.matches(text) == matches)
    }

    @Test(arguments: [
        ("50!%", "50%", true), ("50!%", "500", false), ("a!_b", "a_b", true),
        ("a!_b", "axb", false), ("!!%", "!x", true), ("%!%%", "5% of", true),
    ])
    func `the escape character makes the next one itself`(
        pattern: String, text: String, matches: Bool
    ) {
        #expect(LikePattern(pattern, escape: "!")?.matches(text) == matches)
    }

    @Test(arguments: ["!", "a!", "!a", "!!!", "%!"])
    func `an escape character that escapes nothing is refused`(pattern: String) {
        #expect(LikePattern(pattern, escape: "!") == nil)
    }

    @Test func `it agrees with the definition on random patterns`() {
        let seed = UInt64.random(in: 0 ... .max)
        var random = LanguageRandom(seed: seed)
        for _ in 0..<20_000 {
            let units = (0..<random.below(7)).map { _ in random.pick(["a", "é", "%", "_"]) }
            let pattern = units.joined()
            let text = (0..<random.below(8)).map { _ in random.pick(["a", "é"]) }.joined()
            let expected = Self.naive(
                Array(pattern.unicodeScalars)[...], Array(text.unicodeScalars)[...])
            #expect(
                LikePattern(pattern)?.matches(text) == expected,
                "seed \(seed): \(text) LIKE \(pattern)")
        }
    }

    private static func naive(
        _ pattern: ArraySlice<Unicode.Scalar>, _ text: ArraySlice<Unicode.Scalar>
    ) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        let rest = pattern.dropFirst()
        if first == "%" {
            return (0...text.count).contains { naive(rest, text.dropFirst($0)) }
        }
        guard let scalar = text.first else { return false }
        return (first == "_" || first == scalar) && naive(rest, text.dropFirst())
    }

    @Test func `no pattern takes exponential time`() throws {
        let pattern = try #require(LikePattern(String(repeating: "%a", count: 500) + "%b"))
        let text = String(repeating: "a", count: 5000)
        let seconds = ContinuousClock().measure { #expect(!pattern.matches(text)) }
        #expect(seconds < .seconds(5))
    }
}
