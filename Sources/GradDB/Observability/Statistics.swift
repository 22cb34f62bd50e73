// How much a database holds, and how much of that is needed for its newest snapshots: for whoever keeps
// it running. All of it follows from documents and row maps.

/// Sizes and counts of a database, as `gradctl info` shows them.
public struct DatabaseStatistics: Sendable {
    /// Bytes of all table files.
    public var bytes: UInt64
    /// In the order of their names.
    public var tables: [TableStatistics]

    /// Bytes of the vectors of rows that newest snapshots have.
    public var liveBytes: UInt64 { tables.reduce(0) { $0 + $1.liveBytes } }

    /// Bytes that `gradctl gc` would remove.
    public var garbageBytes: UInt64 { tables.reduce(0) { $0 + $1.garbageBytes } }

    /// How many bytes there are for one that newest snapshots need; nil without vectors.
    public var amplification: Double? {
        liveBytes > 0 ? Double(bytes) / Double(liveBytes) : nil
    }
}

/// Sizes and counts of a table. What is not said otherwise is of its newest snapshot.
public struct TableStatistics: Sendable {
    public var table: String
    /// The newest snapshot's number.
    public var snapshot: UInt64
    /// How many snapshots there are.
    public var snapshots: Int
    public var checkpoints: Int
    public var segments: Int
    /// Rows (ids), and rows that came before and are deleted.
    public var rows: UInt64
    public var deleted: UInt64
    /// Vectors of rows that are not deleted, at all checkpoints; those of all layers of a row are one.
    public var vectors: Int
    /// Of its blocks, those of deleted rows included.
    public var bytes: UInt64
    /// By codec, the finest first.
    public var bytesOfCodecs: [(codec: CodecKind, bytes: UInt64)]
    /// Of the vectors of rows that are not deleted, without headers and checksums.
    public var liveBytes: UInt64
    /// Of all blocks and preconditioners, whatever snapshot has them.
    public var storedBytes: UInt64
    /// Of those that no snapshot has.
    public var garbageBytes: UInt64

    /// How many bytes are stored for one that the newest snapshot needs; nil without vectors.
    public var amplification: Double? {
        liveBytes > 0 ? Double(storedBytes) / Double(liveBytes) : nil
    }
}

extension Database {
    /// Sizes and counts of the database and its tables.
    ///
    /// Takes time in proportion to the number of segments, and of vectors where rows are deleted.
    ///
    /// - Throws: `.corrupt`, `.io`.
    public var statistics: DatabaseStatistics {
        get throws {
            DatabaseStatistics(
                bytes: bytes, tables: try tableNames().map { try table($0).statistics })
        }
    }
}

extension Table {
    /// Sizes and counts of the table.
    ///
    /// - Throws: `.corrupt`, `.io`.
    public var statistics: TableStatistics {
        get throws {
            let view = try newest
            let vectors = try view.checkpoints.reduce(0) { $0 + (try view.rowCount(of: $1)) }
            let active = layers.flatMap { layer in
                view.encodings(of: layer).map { (layer: layer, encoding: $0) }
            }
            let kernels = try KernelSet.chosen()
            let rowBytes = try active.reduce(0) { sum, part in
                sum + (try codec(part.layer, part.encoding.codec, kernels).rowBytes)
            }
            let byCodec = active.reduce(into: [CodecKind: UInt64]()) { sums, part in
                sums[part.encoding.codec, default: 0] +=
                    view.bytesOfEncodings[part.encoding.number] ?? 0
            }
            return TableStatistics(
                table: name, snapshot: newestSnapshot, snapshots: snapshots.count,
                checkpoints: view.checkpoints.count, segments: view.segments.count,
                rows: rowCount, deleted: view.document?.deleted ?? 0, vectors: vectors,
                bytes: try bytes,
                bytesOfCodecs: byCodec.sorted { $0.key < $1.key }.map {
                    (codec: $0.key, bytes: $0.value)
                },
                liveBytes: UInt64(vectors * rowBytes),
                storedBytes: allSegments.reduce(0) { $0 + $1.bytes }
                    + preconditioners.reduce(0) { $0 + $1.bytes },
                garbageBytes: Garbage.bytes(of: self))
        }
    }
}
