// No text whatever crashes the parser, the binder or the engine; each refusal says where and what
// instead, and what is accepted is spelled out so that it reads back as the same.
//
// GRADDB_FUZZ_SEED repeats a run; it goes on for 20 seconds, and in the nightly campaign, which
// runs ten times, for a minute.

import Foundation
import GradDB
import GradDBQuery
import Testing

@Suite struct FuzzTests {
    private static let seeds =
        (StatementParsingTests.cases + StatementRefusalTests.cases + ConditionRefusalTests.cases
        + PredicateRefusalTests.cases).map(\.statement) + [
            "SELECT a AS \"b\" FROM t AT 3 SCORE dot TO ROW 5 MEAN WHERE NOT (a = -1.5e3 OR b IN ('x', "
                + "NULL)) AND c BETWEEN 1 AND 2 AND d NOT LIKE '%_!%' ESCAPE '!' TOP 10 BOTTOM 5 EXACT",
            "FROM t SCORE dot TO $q PRECONDITION f GROUP BY a WITH sum TOP 5% CONFIDENCE 0.9 BUDGET 9ms",
            "SELECT i, f PER LAYER FROM t SCORE cosine TO ROWS WHERE i + j * -2 > length(lower(s)) SUM "
                + "ACROSS 'c1' WEIGHT 2e-5, 'c2' WHERE coalesce(b, $b1) AND substr(s, 1, i % 3) != $s1 ALL",
        ]

    private static let fragments =
        Keyword.allCases.map { " \($0.spelling) " }
        + ValueFunction.allCases.map { $0.rawValue + "(" } + [
            "'", "\"", "--", "/*", "*/", ";", "(", ")", "$", "$q", "'s'", "5", "-", "1e999", "%",
            "9223372036854775808", ",", "=", "\n", "\t", "\r", "\0", "日本", "\u{301}", "\u{1F9EA}",
            " a ", " tokens ", " source ", "200ms", "!", ".", "…", "+", "*", "/",
            "-9223372036854775808",
            "((((((((", "NOT NOT ", "- - ", "0%", "100.1%", " i ", " f ", " t ",
        ]

    // MARK: Texts

    private static func randomBytes(_ random: inout LanguageRandom) -> String {
        let bytes = (0..<random.below(60)).map { _ in
            random.chance(2) ? UInt8(random.below(256)) : UInt8(32 + random.below(95))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func byBytes(_ text: String, _ random: inout LanguageRandom) -> String {
        var bytes = Array(text.utf8)
        for _ in 0...random.below(4) {
            let start = random.below(bytes.count + 1)
            let end = min(bytes.count, start + random.below(8))
            switch random.below(5) {
            case 0: bytes.removeSubrange(start..<end)
            case 1: bytes.insert(contentsOf: random.pick(fragments).utf8, at: start)
            case 2: bytes.replaceSubrange(start..<end, with: random.pick(fragments).utf8)
            case 3: if start < bytes.count { bytes[start] = UInt8(random.below(256)) }
            default: bytes.insert(contentsOf: bytes[start..<end], at: random.below(bytes.count + 1))
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Tokens dropped, doubled, swapped and replaced by those of another statement.
    private static func byTokens(
        _ text: String, _ other: String, _ random: inout LanguageRandom
    ) -> String {
        var tokens = words(of: text)
        let others = words(of: other)
        for _ in 0...random.below(3) where !tokens.isEmpty {
            let place = random.below(tokens.count)
            switch random.below(5) {
            case 0: tokens.remove(at: place)
            case 1: tokens.insert(tokens[place], at: random.below(tokens.count))
            case 2: tokens.swapAt(place, random.below(tokens.count))
            case 3: tokens[place] = random.pick(fragments)
            default: if !others.isEmpty { tokens[place] = random.pick(others) }
            }
        }
        return tokens.joined(separator: random.chance(8) ? "" : " ")
    }

    private static func words(of text: String) -> [String] {
        let source = SourceText(text)
        var lexer = Lexer(source)
        var words: [String] = []
        while let token = try? lexer.next(), token.kind != .end {
            words.append(source[token.range])
        }
        return words
    }

    /// What the grammar can say, of the tables that there are for the most part.
    private static func statement(_ random: inout LanguageRandom) -> String {
        var syntax = RandomSyntax(random: random)
        let isReal = !random.chance(4)
        if isReal { (syntax.names, syntax.strings) = (FuzzDatabase.names, FuzzDatabase.strings) }
        var statement = syntax.statement()
        random = syntax.random
        guard isReal else { return statement.description }
        statement.table = Located(random.pick(FuzzDatabase.tables), RandomSyntax.nowhere)
        if !random.chance(4) { statement.preconditioner = nil }
        if !random.chance(3) { statement.version = nil }
        if !random.chance(3) { statement.layers = [] }
        if !random.chance(3) { statement.selection = [Located(.all, RandomSyntax.nowhere)] }
        if random.chance(2) { statement.checkpoints = random.pick([.newest, .all]) }
        if case .listed? = Optional(statement.checkpoints), random.chance(2) {
            statement.checkpoints = .newest
        }
        if !random.chance(4) {
            var conditions = RandomCondition(random: random)
            statement.filter = conditions.condition(depth: conditions.random.below(4))
            if statement.querySource != nil {
                let source: [QuerySource] = [
                    .parameter("q"), .row(.string("r\(conditions.random.below(14))/1")),
                    .rows(conditions.condition(depth: 2)),
                ]
                statement.querySource = Located(
                    conditions.random.pick(source), RandomSyntax.nowhere)
            }
            random = conditions.random
        }
        return statement.description
    }

    // MARK: What must hold

    private static func check(_ text: String, _ engine: QueryEngine, _ what: String) -> Outcome {
        do {
            for statement in try Statement.parseScript(text) {
                guard try Statement.parse(statement.description) == statement else {
                    Issue.record("\(what): reads back as another: \(text.debugDescription)")
                    return .refused
                }
            }
        } catch {
            let isInside =
                error.range.start <= error.range.end && error.range.end <= text.utf8.count
            if !isInside || error.line < 1 || error.column < 1 || error.message.isEmpty
                || error.expected.isEmpty || !error.rendered.contains("^")
            {
                Issue.record("\(what): \(text.debugDescription): \(error)")
            }
            return .refused
        }
        do {
            // Budgets may be long; their plans are as good.
            let explain: Statement.Explain? = text.uppercased().contains("BUDGET") ? .plan : nil
            for prepared in try engine.prepare(script: text, explain: explain) {
                _ = try engine.run(prepared)
            }
            return .answered
        } catch let error as GradDBError {
            if ![.usage, .badInput, .notFound].contains(error.kind) || error.message.isEmpty {
                Issue.record("\(what): \(text.debugDescription): \(error)")
            }
        } catch {
            Issue.record("\(what): \(text.debugDescription): not a GradDBError: \(error)")
        }
        return .unbound
    }

    private enum Outcome {
        case refused, unbound, answered
    }

    @Test func `no text crashes, and each refusal says where and what instead`() throws {
        let environment = ProcessInfo.processInfo.environment
        let seed =
            environment["GRADDB_FUZZ_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0 ... .max)
        // At once: a crash takes with it what has not been written.
        FileHandle.standardError.write(Data("fuzz of statements: GRADDB_FUZZ_SEED=\(seed)\n".utf8))
        let isNightly = Int(environment["GRADDB_TEST_SCALE"] ?? "1") ?? 1 >= 10
        let end = ContinuousClock.now + .seconds(isNightly ? 60 : 20)
        let database = try FuzzDatabase()
        var random = LanguageRandom(seed: seed)
        var counts: [Outcome: Int] = [:]
        var number = 0
        while ContinuousClock.now < end {
            number += 1
            let base = random.chance(2) ? random.pick(Self.seeds) : Self.statement(&random)
            let text =
                switch random.below(8) {
                case 0: Self.randomBytes(&random)
                case 1, 2: Self.byBytes(base, &random)
                case 3, 4: Self.byTokens(base, random.pick(Self.seeds), &random)
                default: Self.statement(&random)
                }
            let outcome = Self.check(text, database.engine, "seed \(seed), case \(number)")
            counts[outcome, default: 0] += 1
        }
        print("fuzz of statements: \(number) texts, \(counts)")
        // Else it would not try what it is for.
        for outcome in [Outcome.refused, .unbound, .answered] {
            #expect(counts[outcome, default: 0] > number / 100)
        }
    }
}
