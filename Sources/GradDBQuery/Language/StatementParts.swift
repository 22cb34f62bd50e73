// What the clauses of a statement hold: small values that a statement is made of.

/// An item of the SELECT list.
package enum SelectItem: Equatable, Sendable {
    /// `*`
    case all
    /// A field or pseudo column; `alias` is the name it is returned under, if another.
    case column(Located<String>, alias: Located<String>?)
}

/// Which state of the table AT names.
package enum TableVersion: Equatable, Sendable {
    /// A snapshot's number.
    case snapshot(UInt64)
    /// A tag, or a time; which of them is for the catalogue to say.
    case named(String)
}

/// How a row is scored against a query.
package enum Measure: String, Equatable, Sendable, CaseIterable {
    case dot, cosine
    /// The row against itself; there are no queries.
    case `self`
}

/// Where the query vectors come from.
package enum QuerySource: Equatable, Sendable {
    /// The path of a file.
    case file(String)
    /// `$name`, bound by the caller.
    case parameter(String)
    /// A row of the scored table, by its id.
    case row(RowIdentifier)
    /// The rows of the scored table for which a condition is true.
    case rows(Expression)

    package enum RowIdentifier: Equatable, Sendable {
        case string(String)
        case int(Int64)
    }
}

/// What becomes of the scores of several queries.
package enum QueryReduction: String, Equatable, Sendable {
    /// An answer of its own for each query.
    case each
    /// The mean over the queries, row by row.
    case mean
    case sum
    case max
}

/// What becomes of the scores of a group's rows.
package enum GroupReduction: String, Equatable, Sendable, CaseIterable {
    case sum, mean, max, min
    /// How many rows there are.
    case count
}

/// Answers groups in place of rows: those that have the same value in a column.
package struct Grouping: Equatable, Sendable {
    package let column: Located<String>
    package let reduction: Located<GroupReduction>

    package init(column: Located<String>, reduction: Located<GroupReduction>) {
        self.column = column
        self.reduction = reduction
    }
}

/// How many rows one end of an answer has.
package enum RowLimit: Equatable, Sendable {
    /// At least 1.
    case rows(Int)
    /// Of those that have a score; above 0, at most 100.
    case percent(Double)
}

/// How true an answer must be.
package enum Accuracy: Equatable, Sendable {
    /// The true rows.
    case exact
    /// The true rows with at least this probability, between 0 and 1.
    case confidence(Double)
    /// What can be said within so many seconds, more than 0.
    case budget(seconds: Double)
}

/// The checkpoints that ACROSS sums over.
package enum CheckpointSelection: Equatable, Sendable {
    /// No ACROSS: the newest checkpoint, unweighted.
    case newest
    /// ACROSS ALL: every checkpoint, with its stored weight.
    case all
    /// In the order written, each name once.
    case listed([WeightedCheckpoint])
}

/// A checkpoint that ACROSS names.
package struct WeightedCheckpoint: Equatable, Sendable {
    package let name: Located<String>
    /// Nil is the stored weight. Finite; may be zero or negative.
    package let weight: Located<Double>?

    package init(name: Located<String>, weight: Located<Double>?) {
        self.name = name
        self.weight = weight
    }
}
