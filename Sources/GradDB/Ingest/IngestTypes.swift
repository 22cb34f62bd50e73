// What an ingest is told, and what it says when it is done.

/// How to ingest.
public struct IngestOptions: Sendable {
    /// The checkpoint that the vectors belong to; made when the table has none of that name.
    public var checkpoint: String
    /// The training step of a new checkpoint.
    public var step: Int64?
    /// The weight of a new checkpoint in sums over checkpoints: its learning rate.
    public var weight: Double?
    /// A tag for the new snapshot.
    public var tag: String?
    public var message = ""
    /// Leave out rows whose id the checkpoint has already, instead of refusing them.
    public var resume = false
    /// Threads that encode.
    public var threads = 2

    public init(checkpoint: String) { self.checkpoint = checkpoint }
}

/// What an ingest did.
public struct IngestResult: Sendable {
    /// The snapshot that holds it.
    public var snapshot: UInt64
    /// Rows stored.
    public var rows: Int
    /// Of those, rows whose id was new to the table.
    public var newRows: Int
    /// Rows left out because the checkpoint had their id (only with `resume`).
    public var skipped: Int
    /// Bytes of the blocks written.
    public var bytes: UInt64
    /// Bytes of vectors read.
    public var inputBytes: UInt64
    public var seconds: Double
    /// Tensors of the inputs that no layer is named after; they were left out.
    public var unusedTensors: [String]
    /// What else a user should know, a sentence each.
    public var notes: [String]
}

/// How far an ingest is.
public struct IngestProgress: Sendable {
    public var rows: Int
    public var inputBytes: UInt64
}
