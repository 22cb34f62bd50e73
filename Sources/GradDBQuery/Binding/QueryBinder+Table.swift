// FROM: the table that a statement names.

import GradDB

extension QueryBinder {
    /// - Throws: `.notFound`, pointing at the name, with the nearest one that there is.
    func table(of statement: Statement) throws -> Table {
        do {
            return try database.table(statement.table.value)
        } catch let error as GradDBError where error.kind == .notFound {
            let name = statement.table
            // One that the caller named stands nowhere in the text.
            guard name.range.start < name.range.end else { throw error }
            let names = try database.tableNames()
            let place = statement.error(
                "there is no table '\(SourceExcerpt.quotable(name.value))' in \(database.path)",
                at: name.range,
                expected: names.isEmpty
                    ? "none, as the database has none yet"
                    : "one of " + names.prefix(12).map(Spelling.table).joined(separator: ", ")
                        + (names.count > 12 ? ", …" : ""),
                hint: NearestName.hint(for: name.value, among: names.map(Spelling.table)))
            throw GradDBError(.notFound, place.rendered)
        }
    }
}
