// One row of metadata as it was read.

/// The id of a row and the values of its fields.
package struct MetadataRow: Sendable, Equatable {
    package var id: RowID
    /// One for each field that the reader was made with, in that order; nil is NULL.
    package var values: [FieldValue?]
    /// Where it stood, counted from 1.
    package var lineNumber: Int

    package init(id: RowID, values: [FieldValue?], lineNumber: Int) {
        self.id = id
        self.values = values
        self.lineNumber = lineNumber
    }
}

/// Where rows of metadata come from, front to back: a file of JSON Lines, or memory.
package protocol MetadataSource: AnyObject {
    /// What errors call it.
    var name: String { get }
    /// The next row, or nil behind the last one.
    func next() throws(GradDBError) -> MetadataRow?
}

extension MetadataSource {
    /// The row of the next vector.
    ///
    /// - Parameters:
    ///   - count: rows of vectors before it.
    ///   - what: says that there is another, for errors.
    func row(after count: Int, for what: @autoclosure () -> String) throws(GradDBError)
        -> MetadataRow
    {
        guard let row = try next() else {
            throw .badInput(
                "\(name) ends after \(count) rows, but \(what()); give one metadata line for every "
                    + "vector row")
        }
        return row
    }

    /// - Throws: `.badInput` where there are more rows than the `count` of the vectors.
    func expectEnd(after count: Int) throws(GradDBError) {
        guard let extra = try next() else { return }
        throw .badInput(
            "\(name), line \(extra.lineNumber): there are only \(count) vector rows; give one "
                + "metadata line for every vector row")
    }
}

extension MetadataReader: MetadataSource {}
