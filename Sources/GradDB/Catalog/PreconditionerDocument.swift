// `preconditioner/<table>/<number>`, as format-spec/catalog.md has it. What the numbers that it speaks
// of mean is in format-spec/preconditioners.md.

/// What form a preconditioner's matrix has.
package enum PreconditionerKind: String, Codable, Sendable, CaseIterable {
    case diagonal, dense, woodbury

    /// A dense matrix of more has half a gigabyte of numbers.
    package static let maxDenseDims = 8192

    /// The kind of that name.
    ///
    /// - Throws: `.usage`, with the names that there are.
    package init(named name: String) throws {
        guard let kind = Self(rawValue: name) else {
            let known = Self.allCases.map(\.rawValue).joined(separator: ", ")
            throw GradDBError.usage(
                "there is no kind of preconditioner '\(name)'; there are \(known)")
        }
        self = kind
    }

    /// The kind for a layer of which nothing is said.
    package static func standard(dims: Int) -> PreconditionerKind {
        dims <= maxDenseDims ? .dense : .woodbury
    }
}

package struct PreconditionerDocument: Codable, Equatable, Sendable {
    /// Its number in keys; no other preconditioner of the table ever has it.
    package var number: UInt32
    package var name: String
    /// The one whose rows it was made of.
    package var snapshot: UInt64
    package var created: String
    /// Of all its numbers and norms, before compression.
    package var bytes: UInt64
    package var snapshots: SnapshotRanges
    package var parts: [Part]

    /// The matrix of one layer at one checkpoint.
    package struct Part: Codable, Equatable, Sendable {
        /// Its position among the parts.
        package var part: UInt32
        package var layer: UInt32
        package var checkpoint: UInt32
        package var kind: PreconditionerKind
        package var damping: Double
        /// Directions that a `woodbury` keeps; else 0.
        package var rank: Int
        /// How many gradients it was made of.
        package var rows: Int
        /// Of its numbers, before compression.
        package var bytes: UInt64

        package init(
            part: UInt32, layer: UInt32, checkpoint: UInt32, kind: PreconditionerKind,
            damping: Double, rank: Int, rows: Int, bytes: UInt64
        ) {
            self.part = part
            self.layer = layer
            self.checkpoint = checkpoint
            self.kind = kind
            self.damping = damping
            self.rank = rank
            self.rows = rows
            self.bytes = bytes
        }
    }

    private enum CodingKeys: String, CodingKey {
        case number = "preconditioner"
        case name, snapshot, created, bytes, snapshots, parts
    }

    /// Whether the norms of a segment's rows were stored with it: those that came later have none, but
    /// where a compaction has brought them along.
    package func hasNorms(of segment: SegmentDocument) -> Bool {
        parts.contains { $0.checkpoint == segment.checkpoint }
            && (segment.snapshots.contains(snapshot) || segment.norms?.contains(number) ?? false)
    }

    /// The parts of a checkpoint, in the order in which its norms lie.
    package func parts(of checkpoint: CheckpointDocument) -> [Part] {
        parts.filter { $0.checkpoint == checkpoint.checkpoint }
    }
}

extension PreconditionerDocument.Part {
    /// How many numbers are stored of a layer's part.
    package func numberCount(dims: Int) -> Int {
        switch kind {
        case .dense: dims * (dims + 1) / 2
        case .diagonal: dims
        case .woodbury: 1 + rank + rank * dims
        }
    }
}
