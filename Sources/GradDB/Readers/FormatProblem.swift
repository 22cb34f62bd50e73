// What a parser found wrong, before anyone has said in which input: parsers know bytes, not names.

/// What is wrong with some bytes, and what to do about it: the part of a message after the name.
struct FormatProblem: Error {
    let text: String

    init(_ text: String) {
        self.text = text
    }

    func inInput(_ name: String) -> GradDBError {
        .badInput("\(name): \(text)")
    }
}
