// A plan as JSON, for programs: format-spec/cli-json.md, explain.

import GradDB

extension PlanNode {
    /// Operator, detail, estimate, actual under ANALYZE, inputs.
    package var json: JSONObject {
        var object = JSONObject([
            ("operator", .string(name)), ("detail", Self.members(detail)),
            ("estimate", Self.members(estimate)),
        ])
        if !actual.isEmpty { object.append("actual", Self.members(actual)) }
        object.append("inputs", .array(inputs.map { .object($0.json) }))
        return object
    }

    private static func members(_ items: [(key: String, value: PlanValue)]) -> JSONValue {
        .object(
            JSONObject(
                items.map { item in
                    let key = item.key.lowercased().split(separator: " ")
                        .joined(separator: "_").split(separator: "/").joined(separator: "_per_")
                    return switch item.value {
                    case .text(let text): (key, .string(text))
                    case .count(let count): (key, .int(Int64(count)))
                    case .number(let number): (key, .float(number))
                    }
                }))
    }
}
