// A way to select the rows of a statement, and the choice among them.

import GradDB

/// One way to an answer. All ways give the same one; under CONFIDENCE with the probability that was
/// asked for.
package struct SelectionPlan: Equatable, Sendable {
    package enum Scoring: Equatable, Sendable {
        /// All rows as scores are defined.
        case exact
        /// All rows in single precision, with a bound; those near the cut exactly.
        case singlePrecision
        /// All rows from the bytes of a rung of the ladder; those that may be in the answer closer.
        case estimates(rung: Int)
    }

    package var name: String
    package var scoring: Scoring
    /// Where the condition is asked of rows in the order of their scores, and not of all rows before
    /// they are scored: how many times more rows than are wanted are selected to begin with.
    package var overshoot: Double?
    /// Whether the scan runs on the device that the options name.
    package var isOnDevice = false
    /// What it is expected to read of vectors.
    package var bytes: Double
    /// How long it is expected to take.
    package var seconds: Double
}

/// The plan that was chosen, and the others.
package struct PlanChoice: Sendable {
    package fileprivate(set) var chosen: SelectionPlan
    /// Cheapest first.
    package fileprivate(set) var rejected: [SelectionPlan]
    package var limitsAreMeasured: Bool
    /// Those of the device that comes into question; nil where there is none.
    package var deviceLimitsAreMeasured: Bool?
    /// What the condition was found to do to a few rows.
    package var filter: FilterSample?
    /// How long asking it of all rows is expected to take.
    package var filterSeconds: Double
    /// What estimates were found to be worth, where they come into question.
    var scoreSample: ScoreSample?

    /// Takes the cheapest; of plans that cost the same, the first.
    ///
    /// - Precondition: there is a plan.
    init(among plans: [SelectionPlan], limitsAreMeasured: Bool, filterSeconds: Double) {
        let order = plans.enumerated().sorted {
            ($0.element.seconds, $0.offset) < ($1.element.seconds, $1.offset)
        }
        chosen = order[0].element
        rejected = order.dropFirst().map(\.element)
        self.limitsAreMeasured = limitsAreMeasured
        self.filterSeconds = filterSeconds
    }

    /// Takes the plan of this name instead.
    ///
    /// - Throws: `.usage` where there is none.
    mutating func take(_ name: String) throws {
        guard name != chosen.name else { return }
        guard let index = rejected.firstIndex(where: { $0.name == name }) else {
            let names = ([chosen] + rejected).map { "'\($0.name)'" }.joined(separator: ", ")
            throw GradDBError(
                .usage, "there is no plan '\(name)' for this statement; it has \(names)")
        }
        swap(&chosen, &rejected[index])
    }

    /// Why a plan was not taken.
    package func reason(_ plan: SelectionPlan) -> String {
        let ratio = plan.seconds / max(chosen.seconds, 1e-12)
        if ratio < 1 { return "another was asked for" }
        return ratio < 1.01
            ? "no faster" : "\((ratio * 100).rounded() / 100) times slower, as far as one can tell"
    }
}
