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

    /// Runs one statement.
    ///
    /// - Throws: `GradDBError` of kind `.usage` for statements that cannot be run (with the place
    ///   that is wrong), `.badInput` for query vectors that cannot be used, `.corrupt`, `.io`.
    public func run(_ text: String) throws -> Answer {
        try run(
            try Self.converting { try Statement.parse(text, defaultTable: options.defaultTable) })
    }

    /// Parses statements that each end with a semicolon.
    package func statements(in script: String) throws -> [Statement] {
        try Self.converting {
            try Statement.parseScript(script, defaultTable: options.defaultTable)
        }
    }

    package func run(_ statement: Statement) throws -> Answer {
        try Self.converting {
            let query = try QueryBinder(database: database, options: options).bind(statement)
            if statement.explain == .plan {
                return .plan(try Planner(query, threads: options.threads).plan())
            }
            let result = try QueryRunner(query, options: options).run()
            return statement.explain == .analyze ? .plan(result.plan) : .rows(result)
        }
    }

    private static func converting<R>(_ body: () throws -> R) throws -> R {
        do {
            return try body()
        } catch let error as QueryError {
            throw GradDBError(error)
        }
    }
}
