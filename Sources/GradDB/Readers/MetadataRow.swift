// One row of metadata as it was read.

/// The id of a row and the values of its fields.
package struct MetadataRow: Sendable, Equatable {
    package var id: RowID
    /// One for each field that the reader was made with, in that order; nil is NULL.
    package var values: [FieldValue?]
    /// Where it stood, counted from 1.
    package var lineNumber: Int
}
