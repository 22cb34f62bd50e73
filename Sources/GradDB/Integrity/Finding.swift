// One thing that is wrong, and what depends on it: for people to read, and for a repair to act on.

/// Something that a check found broken.
public struct Finding: Sendable {
    /// What is broken.
    public enum Kind: String, Sendable, CaseIterable {
        /// A table file: missing, of another size than it should be, or damaged where it says what it
        /// holds.
        case file
        /// Documents of the catalog, of one table or of all.
        case catalog
        case block
        case rowMap = "row_map"
        /// Records of rows, or the keys that lead to them.
        case record
        /// Columns of fields, or of ids.
        case column
        case deletedRows = "deleted_rows"
        case preconditioner
        /// What a snapshot holds is not what it was made with.
        case content
        /// A staged ingest.
        case staged
    }

    /// Where vectors lie that are concerned.
    package struct Place: Hashable, Sendable {
        package var segment: UInt64
        package var rowGroup: Int
        /// Nil for all encodings: the row numbers are concerned.
        package var encoding: UInt32?
        /// Nil for all slabs.
        package var slab: Int?
    }

    public var kind: Kind
    public var message: String
    /// The table's name; empty where it is of none, or of all.
    public var table: String
    /// The layer whose vectors are concerned, where it is one.
    public var layer: String?
    public var checkpoint: String?
    public var segment: UInt64?
    /// Names of the file, in the database's directory.
    public var file: String?
    /// Rows that are concerned, as far as it is known.
    public var rows: Int?
    /// Of the first of them.
    public var ids: [RowID] = []
    /// Snapshots that have it, ascending.
    public var snapshots: [UInt64] = []
    /// Their tags, sorted.
    public var tags: [String] = []
    package var places: [Place] = []
    /// Numbers of the rows whose records are concerned.
    package var records: Range<UInt64>?
    /// Of a preconditioner.
    package var preconditioner: UInt32?

    init(_ kind: Kind, _ message: String, table: String = "") {
        self.kind = kind
        self.message = message
        self.table = table
    }

    /// The block, where it is one.
    package var block: Place? {
        kind == .block && places.count == 1 ? places.first : nil
    }
}
