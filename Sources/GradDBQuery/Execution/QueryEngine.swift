// The face of the query language: text in, rows or a plan out.

import GradDB

/// Runs statements against a database that is open for reading.
public struct QueryEngine: Sendable {
    private let database: Database
    private let options: QueryOptions

    public init(_ database: Database, options: QueryOptions = QueryOptions()) {
        self.database = database
        self.options = options
    }

    /// What a statement gives back.
    public enum Answer: Sendable {
        case rows(QueryResult)
        /// For EXPLAIN; with what happened, for EXPLAIN ANALYZE.
        case plan(QueryPlan)
    }

    /// A statement whose names have all been resolved and whose query vectors are loaded.
    public struct Prepared: Sendable {
        package let query: BoundQuery
        /// The statement as it was written.
        public var text: String { query.statement.text }
        /// Whether it asks for the plan (EXPLAIN), and not for rows.
        public var isPlan: Bool { query.statement.explain != nil }
    }

    /// Runs one statement.
    ///
    /// - Throws: `GradDBError` of kind `.usage` for statements that cannot be run (with the place
    ///   that is wrong), `.badInput` for query vectors that cannot be used, `.corrupt`, `.io`.
    public func run(_ text: String) throws -> Answer {
        try run(try prepare(text))
    }

    /// Parses and resolves one statement.
    package func prepare(
        _ text: String, explain: Statement.Explain? = nil
    ) throws -> Prepared {
        var statement = try Self.converting {
            try Statement.parse(text, defaultTable: options.defaultTable)
        }
        if let explain, statement.explain != .analyze { statement.explain = explain }
        return try prepare(statement)
    }

    /// Parses and resolves statements that each end with a semicolon.
    ///
    /// - Parameter explain: shows the plans of all of them, at least to this extent.
    package func prepare(
        script: String, explain: Statement.Explain? = nil
    ) throws -> [Prepared] {
        let statements = try Self.converting {
            try Statement.parseScript(script, defaultTable: options.defaultTable)
        }
        guard !statements.isEmpty else {
            throw GradDBError(.usage, "there is no statement; write one such as FROM t SCORE ...")
        }
        return try statements.map { statement in
            var statement = statement
            if let explain, statement.explain != .analyze { statement.explain = explain }
            return try prepare(statement)
        }
    }

    private func prepare(_ statement: Statement) throws -> Prepared {
        try Self.converting {
            try options.cancellation.check()
            return Prepared(
                query: try QueryBinder(database: database, options: options).bind(statement))
        }
    }

    /// Runs a statement and keeps its rows in memory.
    public func run(_ prepared: Prepared) throws -> Answer {
        let sink = CollectingSink()
        let plan = try run(prepared, into: sink)
        guard prepared.query.statement.explain == nil, let header = sink.header else {
            return .plan(plan)
        }
        return .rows(QueryResult(header: header, rows: sink.rows, plan: plan))
    }

    /// Runs a statement and hands its rows over as they are known, so that there may be more of them
    /// than memory. EXPLAIN hands over none.
    ///
    /// - Returns: the plan, with what happened if it ran.
    /// - Throws: as `run`, and what `sink` throws.
    @discardableResult
    public func run(_ prepared: Prepared, into sink: any ResultSink) throws -> QueryPlan {
        let query = prepared.query
        switch query.statement.explain {
        case .plan:
            return try QueryRunner(query, options: options).plan()
        case .analyze:
            return try QueryRunner(query, options: options).run(into: DiscardingSink())
        case nil:
            return try QueryRunner(query, options: options).run(into: sink)
        }
    }

    /// Runs a statement with ALL and hands its scores over as a matrix.
    ///
    /// - Throws: as `run`; `.usage` for a statement without ALL.
    public func run(_ prepared: Prepared, matrix sink: any MatrixSink) throws {
        guard prepared.query.limits.isAll, !prepared.isPlan else {
            throw GradDBError(
                .usage, "a matrix has the scores of all rows; write ALL in place of TOP and BOTTOM")
        }
        try ScoreMatrix(prepared.query, options: options).write(to: sink)
    }

    private static func converting<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as QueryError {
            throw GradDBError(error)
        }
    }
}
