// What the building of a preconditioner is told, and what it says when it is done.

/// How to build a preconditioner.
package struct PreconditionOptions: Sendable {
    package var name: String
    /// Nil: `dense` for layers that are small enough, `woodbury` for the others.
    package var kind: PreconditionerKind?
    /// λ; nil: a tenth of the mean of the undamped diagonal.
    package var damping: Double?
    /// Directions that a `woodbury` keeps; fewer where a layer has fewer dims, or there are fewer
    /// gradients.
    package var rank: Int?
    /// Names; empty: the newest one.
    package var checkpoints: [String] = []
    /// Patterns; empty: all layers.
    package var layers: [String] = []
    /// A tag for the new snapshot.
    package var tag: String?
    package var message = ""
    package var threads = 2

    package static let standardRank = 128

    package init(name: String) { self.name = name }
}

/// What the building of a preconditioner did.
package struct PreconditionResult: Sendable {
    /// The snapshot that has it.
    package var snapshot: UInt64
    package var document: PreconditionerDocument
    package var seconds: Double
}

/// How far it is: every row is read twice.
package struct PreconditionProgress: Sendable {
    package var rows: Int
    /// Bytes of encoded rows that were read, and that will have been at the end.
    package var bytes: UInt64
    package var totalBytes: UInt64
}
