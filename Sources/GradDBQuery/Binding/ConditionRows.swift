// The rows that a condition by itself is true of: what a delete names.

import GradDB

extension TableView {
    /// The rows of the snapshot of which `condition` is true, as after WHERE.
    ///
    /// - Throws: `.usage` for a condition that does not fit the table, with a caret; `.corrupt`,
    ///   `.interrupted`.
    package func rows(where condition: String, _ options: QueryOptions) throws -> RowSet {
        let source = SourceText(condition)
        do {
            let predicate = try BoundPredicate(
                try Expression.parse(source), in: source,
                schema: QueryBinder.filterSchema(of: table), parameters: options.parameters)
            return try predicate.rows(of: self, options)
        } catch let error as QueryError {
            throw GradDBError(error)
        }
    }
}
