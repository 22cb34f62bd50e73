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
    package let allCheckpoints: [CheckpointDocument]
    /// Tags by name.
    public let tags: [String: UInt64]
    package let snapshots: [SnapshotDocument]
    /// Of all snapshots, in ascending order of their numbers.
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

    /// Of the snapshots that there are, ascending; 0, the empty table, is not among them.
    var snapshotNumbers: [UInt64] { snapshots.map(\.snapshot) }

    /// The state in a snapshot; 0 is the empty table.
    ///
    /// - Throws: `.usage` for a snapshot that does not exist.
    package func view(snapshot number: UInt64) throws -> TableView {
        let document = snapshots.first { $0.snapshot == number }
        guard document != nil || number == 0 else {
            throw GradDBError.usage("\(lacks(snapshot: number)); \(knownSnapshots)")
        }
        return TableView(
            table: self, snapshot: number, document: document,
            allSegments: allSegments.filter { $0.snapshots.contains(number) },
            checkpoints: allCheckpoints.filter { $0.snapshots.contains(number) },
            preconditioners: preconditioners.filter { $0.snapshots.contains(number) })
    }

    /// Says of a snapshot that is not there whether it ever was.
    package func lacks(snapshot number: UInt64) -> String {
        (1...max(1, head.snapshot)).contains(number) && head.snapshot > 0
            ? "snapshot \(number) of table '\(name)' has expired"
            : "table '\(name)' has no snapshot \(number)"
    }

    /// Which numbers can be given for a snapshot, for messages.
    package var knownNumbers: String {
        guard let first = snapshots.first, let last = snapshots.last else {
            return "0, as it has none yet"
        }
        return UInt64(snapshots.count) == last.snapshot
            ? "a number from 0 to \(last.snapshot)"
            : "one of its \(snapshots.count) snapshots, from \(first.snapshot) to \(last.snapshot)"
    }

    /// Which snapshots there are, for messages.
    package var knownSnapshots: String {
        guard let first = snapshots.first, let last = snapshots.last else {
            return "it has none yet"
        }
        return UInt64(snapshots.count) == last.snapshot
            ? "it has 0 to \(last.snapshot)"
            : "the \(snapshots.count) that it has are from \(first.snapshot) to \(last.snapshot)"
    }

    /// The state that a user names: by its number, a tag, or a time.
    ///
    /// - Throws: `.usage` for one that does not exist.
    package func view(named name: String) throws -> TableView {
        if let number = UInt64(name) { return try view(snapshot: number) }
        if let view = try view(tag: name) { return view }
        guard let time = Timestamp.parse(name) else {
            let known = tags.keys.sorted().prefix(12).joined(separator: ", ")
            throw GradDBError.usage(
                "table '\(self.name)' has no tag '\(name)'; give a snapshot's number, a time like "
                    + "2026-01-31T12:00:00Z, or a tag"
                    + (known.isEmpty ? "; it has none yet" : " (\(known))"))
        }
        guard let view = try view(time: time) else {
            throw GradDBError.usage(
                "table '\(self.name)' has no snapshot as old as \(name)"
                    + (snapshots.first.map { "; the oldest is of \($0.time)" } ?? ""))
        }
        return view
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
