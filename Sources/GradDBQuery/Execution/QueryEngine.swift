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
        case plan(PlanNode)
    }

    /// A statement whose names have all been resolved and whose query vectors are loaded.
    public struct Prepared: Sendable {
        package let query: BoundQuery
        /// The statement as it was written.
        public var text: String { query.statement.text }
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

    public func run(_ prepared: Prepared) throws -> Answer {
        let query = prepared.query
        if query.statement.explain == .plan {
            return .plan(try Planner(query, try Ladder(query), threads: options.threads).plan())
        }
        let result = try QueryRunner(query, options: options).run()
        return query.statement.explain == .analyze ? .plan(result.plan) : .rows(result)
    }

    private static func converting<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as QueryError {
            throw GradDBError(error)
        }
    }
}
