// How a statement runs, or has run: the tree of its operators, and what else could have been done.

import GradDB

/// The plan that answers a statement, and those that were thought of and not taken.
public struct QueryPlan: Sendable {
    /// The operator that gives the rows, with what feeds it.
    public internal(set) var root: PlanNode
    package var choice: PlanChoice

    /// Why a device failed, in whose place the processor went on; nil where none did.
    package var deviceFailure: String? { root.fact("device failure") }

    /// The tree as text, and below it the plans that were rejected.
    public var rendered: String {
        let chosen = choice.chosen
        let limits =
            choice.limitsAreMeasured
            ? "this machine's limits as `gradctl bench` measured them"
            : "the limits of common machines; `gradctl bench` measures this one's"
        var lines = [
            root.rendered, "",
            "chosen: \(chosen.name), \(Self.seconds(chosen)) expected, by \(limits)",
        ]
        if let isMeasured = choice.deviceLimitsAreMeasured {
            lines.append(
                isMeasured
                    ? "the device's limits are those that `gradctl bench --device` measured"
                    : "the device's limits are assumed; `gradctl bench --device` measures them")
        }
        for plan in choice.rejected {
            lines.append(
                "rejected: \(plan.name), \(Self.seconds(plan)) (\(choice.reason(plan)))")
        }
        return lines.joined(separator: "\n")
    }

    private static func seconds(_ plan: SelectionPlan) -> String {
        PlanValue.number(plan.seconds).text + " s"
    }

    /// What EXPLAIN prints of a statement with `--json`: format-spec/cli-json.md.
    package func json(of statement: String) -> JSONObject {
        var object = JSONObject([
            ("statement", .string(statement)), ("plan", .object(root.json)),
            ("chosen", .string(choice.chosen.name)), ("seconds", .float(choice.chosen.seconds)),
            ("limits", Self.limits(areMeasured: choice.limitsAreMeasured)),
        ])
        if let areMeasured = choice.deviceLimitsAreMeasured {
            object.append("device_limits", Self.limits(areMeasured: areMeasured))
        }
        let rejected = choice.rejected.map { plan in
            JSONValue.object(
                JSONObject([
                    ("plan", .string(plan.name)), ("seconds", .float(plan.seconds)),
                    ("bytes", .int(Int64(plan.bytes))), ("reason", .string(choice.reason(plan))),
                ]))
        }
        object.append("rejected", .array(rejected))
        return object
    }

    private static func limits(areMeasured: Bool) -> JSONValue {
        .string(areMeasured ? "measured" : "assumed")
    }
}
