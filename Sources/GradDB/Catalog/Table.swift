// A table as the catalog describes it.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A table of a database opened for reading.
public struct Table: Sendable {
    package let store: RocksStore
    package let document: TableDocument
    package let head: HeadDocument
    /// Of all snapshots, with their companions.
    package let allSegments: [SegmentDocument]
    /// The segment that holds an encoding of a segment which lacks it.
    private let companions: [Holding: UInt64]
    private let allCheckpoints: [CheckpointDocument]
    /// Tags by name.
    public let tags: [String: UInt64]
    package let snapshots: [SnapshotDocument]
    /// Those that were removed too, in ascending order of their numbers.
    package let preconditioners: [PreconditionerDocument]

    package init(_ document: TableDocument, in store: RocksStore) throws {
        let catalog = Catalog(store)
        let number = document.table
        self.store = store
        self.document = document
        head = try catalog.document(Catalog.Key.head(number)) ?? HeadDocument()
        allSegments = try catalog.documents(Catalog.Key.segments(number)).map(\.document)
        companions = Dictionary(
            allSegments.flatMap { segment in
                segment.encodings.compactMap { encoding in
                    segment.base.map {
                        (Holding(segment: $0, encoding: encoding.encoding), segment.segment)
                    }
                }
            }, uniquingKeysWith: { first, _ in first })
        allCheckpoints = try catalog.documents(Catalog.Key.checkpoints(number)).map(\.document)
        snapshots = try catalog.documents(Catalog.Key.snapshots(number)).map(\.document)
        preconditioners = try catalog.documents(Catalog.Key.preconditioners(number)).map(\.document)
        tags = Dictionary(
            uniqueKeysWithValues: try catalog.documents(
                Catalog.Key.tags(number), as: TagDocument.self
            ).map { ($0.suffix, $0.document.snapshot) })
        try validate()
    }

    func hasCompanion(of segment: SegmentDocument, holding encoding: LayerEncoding) -> Bool {
        companions[Holding(segment: segment.segment, encoding: encoding.number)] != nil
    }

    /// The number of the segment in whose blocks `segment`'s rows are in `encoding`.
    func segment(holding encoding: LayerEncoding, of segment: SegmentDocument) -> UInt64 {
        companions[Holding(segment: segment.segment, encoding: encoding.number)] ?? segment.segment
    }

    private struct Holding: Hashable {
        var segment: UInt64
        var encoding: UInt32
    }

    public var name: String { document.name }
    public var unit: RowUnit { document.unit }
    public var layers: [Layer] { document.layers }
    public var fields: [Field] { document.fields }
    /// Most rows in a row group.
    public var rowsPerGroup: Int { document.rowGroup }

    /// The newest state.
    package var newest: TableView {
        get throws { try view(snapshot: head.snapshot) }
    }

    /// The state in a snapshot; 0 is the empty table.
    ///
    /// - Throws: `.usage` for a snapshot that does not exist.
    package func view(snapshot number: UInt64) throws -> TableView {
        let document = snapshots.first { $0.snapshot == number }
        guard document != nil || number == 0 else {
            let known =
                snapshots.isEmpty
                ? "it has none yet" : "it has 0 to \(snapshots.last.map { $0.snapshot } ?? 0)"
            throw GradDBError.usage("table '\(name)' has no snapshot \(number); \(known)")
        }
        return TableView(
            table: self, snapshot: number, rowCount: document?.nextRow ?? 0,
            allSegments: allSegments.filter { $0.added <= number },
            checkpoints: allCheckpoints.filter { $0.added <= number },
            preconditioners: preconditioners.filter { $0.isActive(in: number) })
    }

    /// The state that a tag names.
    package func view(tag: String) throws -> TableView? {
        try tags[tag].map { try view(snapshot: $0) }
    }

    /// The newest state that was committed at `time` or before; nil when none was.
    package func view(time: Date) throws -> TableView? {
        // Up to the first later one: a clock that was set back must not show what came after it.
        let before = snapshots.prefix { snapshot in
            Timestamp.parse(snapshot.time).map { $0 <= time } ?? false
        }
        return try before.last.map { try view(snapshot: $0.snapshot) }
    }

    package func codec(
        _ layer: Layer, _ kind: CodecKind, _ kernels: KernelSet
    ) throws -> any Codec {
        kind.codec(dims: layer.dims, seed: try layer.seedValue, kernels: kernels)
    }
}
