// What callers outside the engine may know of a table's state and history.

/// A model state of a table.
public struct CheckpointInfo: Sendable {
    public var name: String
    public var step: Int64?
    /// Its weight in sums over checkpoints.
    public var weight: Double?
    /// Rows that have vectors at it.
    public var rows: Int
}

/// A snapshot of a table, as its log shows it.
public struct SnapshotInfo: Sendable {
    public var number: UInt64
    /// 0 is the empty table.
    public var parent: UInt64
    /// RFC 3339, UTC.
    public var time: String
    /// What made it: `ingest`, `delete`, …
    public var operation: String
    public var message: String
    /// The checkpoint that the commit added to.
    public var checkpoint: String?
    /// Rows (ids) of the table then.
    public var rows: UInt64
    /// Rows that came before it and that it does not have.
    public var deleted: UInt64
    public var segments: Int
    /// Bytes of its blocks, those of deleted rows included.
    public var bytes: UInt64
    /// Of what it holds: snapshots with the same hash hold the same.
    public var hash: String
    /// The snapshot that it equals, after a restore.
    public var restored: UInt64?
    public var tags: [String]
}

extension Table {
    /// Rows (ids) in the newest snapshot.
    public var rowCount: UInt64 { snapshots.last?.rows ?? 0 }

    /// The newest snapshot's number; 0 before the first commit.
    public var newestSnapshot: UInt64 { head.snapshot }

    public var segmentCount: Int {
        get throws { try newest.segments.count }
    }

    /// Bytes of the newest snapshot's blocks.
    public var bytes: UInt64 {
        get throws { try newest.bytesOfEncodings.values.reduce(0, +) }
    }

    /// The codecs of a layer in the newest snapshot: the finest, which scores, first.
    public func codecs(of layer: Layer) -> [CodecKind] {
        layer.encodings(in: head.snapshot).map(\.codec)
    }

    /// In the order they were made.
    public var checkpoints: [CheckpointInfo] {
        get throws {
            let view = try newest
            return try view.checkpoints.map {
                CheckpointInfo(
                    name: $0.name, step: $0.step, weight: $0.weight,
                    rows: try view.rowCount(of: $0))
            }
        }
    }

    /// All snapshots, oldest first.
    public var history: [SnapshotInfo] {
        snapshots.map { snapshot in
            SnapshotInfo(
                number: snapshot.snapshot, parent: snapshot.parent, time: snapshot.time,
                operation: snapshot.operation.rawValue, message: snapshot.message,
                checkpoint: allCheckpoints.first { $0.checkpoint == snapshot.checkpoint }?.name,
                rows: snapshot.rows, deleted: snapshot.deleted, segments: snapshot.segments,
                bytes: snapshot.bytes, hash: snapshot.hash, restored: snapshot.restored,
                tags: tags.filter { $0.value == snapshot.snapshot }.keys.sorted())
        }
    }
}
