// Tables of cases as text: statement, `----`, answer, and an empty line before the next one.

import Testing

struct StatementCase: Sendable, CustomTestStringConvertible {
    let statement: String
    let answer: String

    var testDescription: String { statement }

    static func cases(_ text: String) -> [StatementCase] {
        var cases: [StatementCase] = []
        var statement: [Substring] = []
        var answer: [Substring]?
        for line in (text + "\n").split(separator: "\n", omittingEmptySubsequences: false) {
            if line == "----" {
                answer = []
            } else if line.isEmpty, let lines = answer {
                cases.append(
                    StatementCase(
                        statement: statement.joined(separator: "\n"),
                        answer: lines.joined(separator: "\n")))
                statement = []
                answer = nil
            } else if answer != nil {
                answer?.append(line)
            } else if !(line.isEmpty && statement.isEmpty) {
                statement.append(line)
            }
        }
        return cases
    }
}
