// The syntax tree of one statement: a plain value with the names as they were written. Whether a
// table, checkpoint, tag, file or column of that name exists is the planner's question; it points
// at the ranges kept here.

package struct Statement: Equatable, Sendable {
    package enum Explain: Equatable, Sendable {
        /// Show the plan.
        case plan
        /// Run the statement, and show the plan with what happened.
        case analyze
    }

    /// Nil runs the statement and returns its rows.
    package var explain: Explain?
    /// Never empty; `[.all]` when SELECT was left out.
    package var selection: [Located<SelectItem>]
    /// PER LAYER: a score for each layer.
    package var isPerLayer = false
    /// When FROM was left out, the caller's default; its range is then empty.
    package var table: Located<String>
    /// Nil is the newest snapshot.
    package var version: Located<TableVersion>?
    package var measure: Located<Measure>
    /// Nil for the measure `self`, which has no queries.
    package var querySource: Located<QuerySource>?
    package var reduction: QueryReduction
    /// Globs over layer names; empty means every layer.
    package var layers: [Located<String>]
    package var checkpoints: CheckpointSelection
    /// The name of a stored preconditioner.
    package var preconditioner: Located<String>?
    package var filter: Expression?
    package var grouping: Grouping?
    /// How many of the highest scores. With neither TOP, BOTTOM nor ALL all three are nil.
    package var top: Located<RowLimit>?
    /// How many of the lowest scores.
    package var bottom: Located<RowLimit>?
    /// ALL: every row that has a score.
    package var isAll = false
    /// How true the answer must be; nil is exact.
    package var accuracy: Located<Accuracy>?
    package var origin: Origin

    package init(
        explain: Explain? = nil, selection: [Located<SelectItem>], table: Located<String>,
        measure: Located<Measure>, querySource: Located<QuerySource>?, origin: Origin
    ) {
        self.explain = explain
        self.selection = selection
        self.table = table
        self.measure = measure
        self.querySource = querySource
        reduction = .each
        layers = []
        checkpoints = .newest
        self.origin = origin
    }
}

extension Statement {
    /// The text that a statement was read from. All origins are equal, so that two statements are
    /// equal when they say the same.
    package struct Origin: Equatable, Sendable {
        /// The whole text: of a script, all its statements.
        package let source: SourceText
        /// Where this statement stands in it, without its semicolon.
        package let range: SourceRange

        package init(source: SourceText, range: SourceRange) {
            self.source = source
            self.range = range
        }

        package static func == (left: Self, right: Self) -> Bool { true }
    }

    /// The statement as it was written.
    package var text: String { origin.source[origin.range] }

    /// An error that points at a part of this statement.
    package func error(
        _ message: String, at range: SourceRange, expected: String, hint: String? = nil
    ) -> QueryError {
        origin.source.error(message, at: range, expected: expected, hint: hint)
    }
}
