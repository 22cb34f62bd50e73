// The catalog's JSON documents, as format-spec/catalog.md lists them. Keys are snake_case; readers
// ignore keys they do not know.

/// `database`: what this directory is.
package struct DatabaseDocument: Codable, Equatable, Sendable {
    package static let formatName = "graddb"
    package static let currentVersion = 1
    /// Features that this program understands beyond the version: none yet.
    package static let knownReaderFeatures: Set<String> = []
    package static let knownWriterFeatures: Set<String> = []

    package var format = Self.formatName
    package var formatVersion = Self.currentVersion
    /// Who does not know one of these must not read.
    package var readerFeatures: [String] = []
    /// Who does not know one of these must not write.
    package var writerFeatures: [String] = []
    package var created: String

    package init(created: String) { self.created = created }
}

/// `counters`: numbers that are never given twice.
package struct CountersDocument: Codable, Equatable, Sendable {
    package var nextTable: UInt32 = 1
    package var nextSegment: UInt64 = 1

    package init() {}
}

/// What a row stands for.
public enum RowUnit: String, Codable, Sendable, CaseIterable {
    case example, token
}

/// A vector column of a table.
public struct Layer: Codable, Equatable, Sendable {
    /// Position among the table's layers.
    package var number: UInt32
    public var name: String
    /// Elements of one row's vector.
    public var dims: Int
    /// All that it ever had, in ascending order of their numbers.
    package var encodings: [LayerEncoding]
    /// Seed of the rotation, as hexadecimal text: JSON numbers end at 2^53 for many readers.
    package var seed: String
    /// What made its vectors out of raw gradients; nil where nobody has said.
    public internal(set) var projector: ProjectorDocument?

    package init(
        number: UInt32, name: String, dims: Int, encodings: [LayerEncoding], seed: UInt64,
        projector: ProjectorDocument? = nil
    ) {
        self.number = number
        self.name = name
        self.dims = dims
        self.encodings = encodings
        self.seed = "0x" + String(seed, radix: 16)
        self.projector = projector
    }

    /// Those that a snapshot has, finest first.
    package func encodings(in snapshot: UInt64) -> [LayerEncoding] {
        encodings.filter { $0.snapshots.contains(snapshot) }.sorted { $0.codec < $1.codec }
    }

    package var seedValue: UInt64 {
        get throws {
            guard seed.hasPrefix("0x"), let value = UInt64(seed.dropFirst(2), radix: 16) else {
                throw GradDBError.corrupt("layer \(name) has a malformed seed '\(seed)'")
            }
            return value
        }
    }
}

/// All rows of a layer in one codec, from one snapshot on.
package struct LayerEncoding: Codable, Hashable, Sendable {
    /// Its number in block keys; no other encoding of the table ever has it.
    package var number: UInt32
    package var codec: CodecKind
    /// Those that have it: from 0 on, where the table was made with it.
    package var snapshots: SnapshotRanges

    package init(number: UInt32, codec: CodecKind, snapshots: SnapshotRanges) {
        self.number = number
        self.codec = codec
        self.snapshots = snapshots
    }

    private enum CodingKeys: String, CodingKey {
        case number = "encoding"
        case codec, snapshots
    }
}

/// `table/<name>`: a table's schema.
package struct TableDocument: Codable, Equatable, Sendable {
    package var table: UInt32
    package var name: String
    package var unit: RowUnit
    package var layers: [Layer]
    package var fields: [Field]
    /// Most rows in a row group.
    package var rowGroup: Int
    package var created: String

    /// The number for the next encoding: none is given twice, and removed ones stay listed.
    package var nextEncoding: UInt32 {
        layers.flatMap(\.encodings).reduce(0) { max($0, $1.number + 1) }
    }
}

/// `head/<table>`: which snapshot is the newest, and how the table's ids are typed.
package struct HeadDocument: Codable, Equatable, Sendable {
    package var snapshot: UInt64 = 0
    /// Row numbers given so far; the next new row gets this one.
    package var nextRow: UInt64 = 0
    /// `string` or `int`, once the first row is there.
    package var idType: FieldType?
    /// Checkpoints made so far; the next new one gets this number.
    package var nextCheckpoint: UInt32 = 0

    package init() {}
}

/// `snapshot/<table>/<number>`: an immutable state of a table.
package struct SnapshotDocument: Codable, Equatable, Sendable {
    package var snapshot: UInt64
    /// The snapshot it was made from; 0 is the empty table.
    package var parent: UInt64
    package var time: String
    package var operation: Operation
    package var message: String
    /// The checkpoint that this commit added vectors to.
    package var checkpoint: UInt32?
    /// Its rows have smaller numbers.
    package var nextRow: UInt64
    /// How many of them are deleted.
    package var deleted: UInt64
    package var segments: Int
    package var bytes: UInt64
    /// What it holds, in a number: equal where two snapshots hold the same.
    package var hash: String
    package var sums: ContentSums
    /// The snapshot that this one equals, after a restore.
    package var restored: UInt64?

    /// What made it.
    package enum Operation: String, Codable, Sendable {
        case ingest, commit, recode, precondition, delete, restore, compact, `import`, repair
    }

    /// How many rows it has.
    package var rows: UInt64 { nextRow - deleted }
}

/// `segment/<table>/<number>`: what one writer wrote for one checkpoint, or a companion: the rows
/// of another segment in encodings that were added later.
package struct SegmentDocument: Codable, Equatable, Sendable {
    package var segment: UInt64
    /// The segment that this one is a companion of.
    package var base: UInt64?
    package var checkpoint: UInt32
    package var rows: Int
    package var rowGroups: Int
    /// Rows in every row group but the last.
    package var rowsPerGroup: Int
    /// Of which encodings it holds blocks, in ascending order.
    package var encodings: [EncodingBytes]
    /// Smallest and largest row number in it.
    package var firstRow: UInt64
    package var lastRow: UInt64
    package var snapshots: SnapshotRanges
    /// Of a segment that a compaction wrote: which older preconditioners' norms are there of it.
    package var norms: [UInt32]?

    /// An encoding's number, and the bytes of its blocks.
    package struct EncodingBytes: Codable, Equatable, Sendable {
        package var encoding: UInt32
        package var bytes: UInt64
    }

    /// Rows of row group `group`.
    package func rows(ofGroup group: Int) -> Int {
        min(rowsPerGroup, rows - group * rowsPerGroup)
    }
}

/// `checkpoint/<table>/<number>`: a model state.
package struct CheckpointDocument: Codable, Equatable, Sendable {
    package var checkpoint: UInt32
    package var name: String
    package var step: Int64?
    /// Its weight in sums over checkpoints: the learning rate there.
    package var weight: Double?
    package var snapshots: SnapshotRanges
}

/// `tag/<table>/<name>`: a name for a snapshot.
package struct TagDocument: Codable, Equatable, Sendable {
    package var snapshot: UInt64
}

/// `clean_up`: one has begun, and not all files that hold what is gone have been written anew.
package struct CleanUpDocument: Codable, Equatable, Sendable {
    package init() {}
}

/// `reservation/<segment>`: a writer is at work (or died) on this segment and those after it.
package struct ReservationDocument: Codable, Equatable, Sendable {
    package var table: UInt32
    /// How many segments.
    package var segments: UInt64
    /// Whether records of unpublished rows may have been written ahead of the publication.
    package var spilled: Bool
    /// Whether it belongs to a staged ingest: nobody need be at work on it.
    package var staged: Bool?
    /// Of a staged ingest: whether a commit has begun to bring its segments into the database.
    package var attaching: Bool?
    /// The preconditioner whose numbers and norms may have been written ahead of the publication.
    package var preconditioner: UInt32?
    /// Whether only the blocks are to be removed: the row maps belong to a segment that is there.
    package var keepsRows: Bool?

    package init(
        table: UInt32, segments: UInt64, spilled: Bool = false, preconditioner: UInt32? = nil
    ) {
        self.table = table
        self.segments = segments
        self.spilled = spilled
        self.preconditioner = preconditioner
    }
}
