// What is staged, as JSON: format-spec/cli-json.md.

extension StagedIngest {
    /// A line of `staged`.
    package var json: JSONObject {
        func list(_ ranks: [Rank]) -> JSONValue { .array(ranks.map { .int(Int64($0.rank)) }) }
        return JSONObject([
            ("table", .string(document.name)), ("checkpoint", .string(document.checkpoint)),
            ("step", document.step.map { .int($0) } ?? .null),
            ("weight", document.weight.map { .float($0) } ?? .null),
            ("ranks", .int(Int64(document.ranks))),
            ("closed", .int(Int64(ranks.count { $0.isClosed }))),
            ("unfinished", list(ranks.filter { !$0.isClosed })),
            ("writing", list(ranks.filter(\.isBeingWritten))), ("rows", .int(Int64(rows))),
            ("bytes", .int(Int64(bytes))), ("begun", .string(document.begun)),
            ("problem", problem.map { .string($0) } ?? .null),
        ])
    }
}
