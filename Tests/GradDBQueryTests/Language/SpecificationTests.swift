// The examples of format-spec/query-language.md do what the page says.

import Foundation
import GradDBQuery
import Testing

@Suite struct SpecificationTests {
    /// The code blocks of the page that are marked with a language.
    private func blocks(_ language: String) throws -> [String] {
        let root = URL(filePath: #filePath).appending(path: "../../../..").standardized
        let page = root.appending(path: "format-spec/query-language.md")
        let text = try String(contentsOf: page, encoding: .utf8)
        return text.components(separatedBy: "```\(language)\n").dropFirst()
            .compactMap { $0.components(separatedBy: "\n```").first }
    }

    @Test func `every example is a statement`() throws {
        let blocks = try blocks("sql")
        #expect(blocks.count > 10)
        for block in blocks {
            for statement in try Statement.parseScript(block) {
                #expect(try Statement.parse(statement.description) == statement)
            }
        }
    }

    @Test func `the reserved words are those of the page`() throws {
        let root = URL(filePath: #filePath).appending(path: "../../../..").standardized
        let page = root.appending(path: "format-spec/query-language.md")
        let text = try String(contentsOf: page, encoding: .utf8)
        let list = text.components(separatedBy: "wherever they stand. `")[1]
            .components(separatedBy: "`")[0]
        let words = list.split(whereSeparator: \.isWhitespace).map(String.init)
        #expect(words == Keyword.allCases.filter(\.isReserved).map(\.spelling).sorted())
    }
}
