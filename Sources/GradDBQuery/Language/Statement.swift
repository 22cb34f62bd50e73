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
    /// When FROM was left out, the caller's default; its range is then empty.
    package var table: Located<String>
    /// Nil is the newest snapshot.
    package var version: Located<TableVersion>?
    package var measure: Located<Measure>
    package var querySource: Located<QuerySource>
    package var reduction: QueryReduction
    /// Globs over layer names; empty means every layer.
    package var layers: [Located<String>]
    package var checkpoints: CheckpointSelection
    package var filter: Expression?
    /// How many of the highest scores; at least 1. With neither TOP nor BOTTOM both are nil.
    package var top: Located<Int>?
    /// How many of the lowest scores; at least 1.
    package var bottom: Located<Int>?
    /// How true the answer must be; nil is exact.
    package var accuracy: Located<Accuracy>?
    package var origin: Origin

    package init(
        explain: Explain?, selection: [Located<SelectItem>], table: Located<String>,
        version: Located<TableVersion>?, measure: Located<Measure>,
        querySource: Located<QuerySource>, reduction: QueryReduction, layers: [Located<String>],
        checkpoints: CheckpointSelection, filter: Expression?, top: Located<Int>?,
        bottom: Located<Int>?, accuracy: Located<Accuracy>?, origin: Origin
    ) {
        self.explain = explain
        self.selection = selection
        self.table = table
        self.version = version
        self.measure = measure
        self.querySource = querySource
        self.reduction = reduction
        self.layers = layers
        self.checkpoints = checkpoints
        self.filter = filter
        self.top = top
        self.bottom = bottom
        self.accuracy = accuracy
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
