// A plan as people and programs see it: a tree of operators with estimates and, once it has run,
// with what happened.

import GradDB

/// A number or text in a plan.
public enum PlanValue: Equatable, Sendable {
    case text(String)
    case count(Int)
    case number(Double)
}

/// One operator of a plan.
public struct PlanNode: Sendable {
    public var name: String
    /// What it does, in order of importance.
    public var detail: [(key: String, value: PlanValue)]
    /// Expected rows, blocks and bytes.
    public var estimate: [(key: String, value: PlanValue)] = []
    /// What happened, under ANALYZE.
    public var actual: [(key: String, value: PlanValue)] = []
    /// What feeds it.
    public var inputs: [PlanNode]

    package init(
        _ name: String, _ detail: [(key: String, value: PlanValue)],
        estimate: [(key: String, value: PlanValue)] = [], inputs: [PlanNode] = []
    ) {
        self.name = name
        self.detail = detail
        self.estimate = estimate
        self.inputs = inputs
    }

    /// What happened under a name, here or at what feeds it.
    func fact(_ key: String) -> String? {
        if let fact = actual.first(where: { $0.key == key }) { return fact.value.text }
        return inputs.lazy.compactMap { $0.fact(key) }.first
    }

    /// The tree as text: an operator with its details, below it what is expected and what
    /// happened, below that its inputs, indented.
    public var rendered: String { lines(prefix: "", continuation: "").joined(separator: "\n") }

    private func lines(prefix: String, continuation: String) -> [String] {
        let facts = [("expected", estimate), ("actual", actual)].filter { !$0.1.isEmpty }
        var lines = [prefix + name + detail.map { "  \($0.key): \($0.value.text)" }.joined()]
        let margin = continuation + (inputs.isEmpty ? "   " : "│  ")
        lines += facts.map { "\(margin)\($0.0): \(Self.list($0.1))" }
        for (index, input) in inputs.enumerated() {
            let isLast = index == inputs.count - 1
            lines += input.lines(
                prefix: continuation + (isLast ? "└─ " : "├─ "),
                continuation: continuation + (isLast ? "   " : "│  "))
        }
        return lines
    }

    private static func list(_ items: [(key: String, value: PlanValue)]) -> String {
        items.map { "\($0.key) \($0.value.text)" }.joined(separator: ", ")
    }
}

extension PlanValue {
    var text: String {
        switch self {
        case .text(let text): text
        case .count(let count): count.grouped
        case .number(let number): Self.rounded(number)
        }
    }

    /// Four significant digits.
    private static func rounded(_ number: Double) -> String {
        guard number.isFinite, number != 0 else { return "\(number)" }
        var scale = 1.0
        while abs(number) * scale < 1000, scale < 1e15 { scale *= 10 }
        let rounded = (number * scale).rounded() / scale
        return rounded.magnitude >= 1000 ? "\(Int(rounded.rounded()))" : "\(rounded)"
    }
}
