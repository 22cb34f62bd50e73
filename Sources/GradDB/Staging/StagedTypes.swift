// What a staged ingest is told, and what it says.

/// How to write one rank of a staged ingest.
package struct StagedOptions: Sendable {
    /// The checkpoint that the vectors belong to; made by the commit when the table has none.
    package var checkpoint: String
    /// The training step of a new checkpoint.
    package var step: Int64?
    /// The weight of a new checkpoint in sums over checkpoints: its learning rate.
    package var weight: Double?
    /// How many processes write, each a rank of its own: 1 to 65,536.
    package var ranks = 1
    /// Which of them this is: 0 to `ranks` - 1.
    package var rank = 0
    /// Rows in a row group; by default as many as an ingest puts there.
    package var rowsPerGroup: Int?
    /// Leave out rows that are there already, instead of refusing them.
    package var resume = false
    /// Threads that encode large batches.
    package var threads = 2

    package init(checkpoint: String) { self.checkpoint = checkpoint }

    func validate() throws {
        guard (1...StagedDocument.maxRanks).contains(ranks) else {
            throw GradDBError.usage(
                "a staged ingest has 1 to \(StagedDocument.maxRanks) ranks, not \(ranks)")
        }
        guard (0..<ranks).contains(rank) else {
            throw GradDBError.usage("of \(ranks) ranks there is none \(rank): they count from 0")
        }
        if let weight, !weight.isFinite {
            throw GradDBError.usage("a checkpoint's weight is a finite number, not \(weight)")
        }
        if let rowsPerGroup, rowsPerGroup < 1 {
            throw GradDBError.usage("a row group has 1 row or more, not \(rowsPerGroup)")
        }
    }
}

/// What became of a batch.
package struct AppendResult: Equatable, Sendable {
    /// Rows taken.
    package var rows: Int
    /// Rows left out because they are there already (only with `resume`).
    package var skipped: Int

    package init(rows: Int, skipped: Int) {
        self.rows = rows
        self.skipped = skipped
    }
}

/// What a rank has when it is closed.
package struct StagedSummary: Equatable, Sendable {
    /// Rows of the rank, those of earlier processes among them.
    package var rows: Int
    /// Rows that this process took.
    package var newRows: Int
    /// Rows that this process left out (only with `resume`).
    package var skipped: Int
    /// Bytes of the rank's files.
    package var bytes: UInt64
}

/// How to commit a staged ingest.
package struct StagedCommitOptions: Sendable {
    /// A tag for the new snapshot.
    package var tag: String?
    package var message = ""
    /// Take ranks that are not closed as their journals have them.
    package var partial = false
    /// Threads that verify.
    package var threads = 2

    package init() {}
}
