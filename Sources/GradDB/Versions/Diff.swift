// What one snapshot has and another has not: format-spec/cli-json.md, section diff. All of it follows
// from documents, row maps and deleted rows; no vector is read.
//
//   rows     a row number that both have is the same row; only of the others are ids looked at
//   vectors  a row's vector at a checkpoint is the same in both: a compaction only moves it. So row maps
//            are read of segments that only one has, and of those that hold rows which only one has
//   bytes    of pairs of a segment and an encoding that only one has

/// How two snapshots of a table differ.
package struct SnapshotDiff: Sendable {
    /// Of what is counted, what only the second snapshot has, and what only the first one has.
    package struct Change<Value: Sendable>: Sendable {
        package var added: Value
        package var removed: Value

        package init(added: Value, removed: Value) {
            self.added = added
            self.removed = removed
        }
    }

    package let from: TableView
    package let to: TableView
    package let fromHash: String
    package let toHash: String
    /// By id; without those that changed.
    package private(set) var rows = Change(added: 0, removed: 0)
    /// Ids that both have, of rows of different numbers.
    package private(set) var changedRows = 0
    package private(set) var vectors = Change(added: 0, removed: 0)
    package private(set) var checkpoints: Change<[String]>
    /// Those with another step or weight.
    package private(set) var changedCheckpoints: [String]
    package private(set) var segments: Change<Int>
    package private(set) var encodings: Change<[(layer: String, codec: CodecKind)]>
    package private(set) var preconditioners: Change<[String]>
    package private(set) var bytes: Change<UInt64>

    /// Rows of either that the other has not, and of those the ones whose id it has.
    private var ownRows: Change<RowSet>
    private var changedIDs: Change<RowSet>

    /// Whether both hold the same.
    package var isEqual: Bool { fromHash == toHash }

    /// - Throws: `.corrupt`, `.io`, `.interrupted`.
    package init(
        from: TableView, to: TableView, cancellation: Cancellation = Cancellation()
    ) throws {
        self.from = from
        self.to = to
        let kernels = try KernelSet.chosen()
        fromHash = from.contentHash(kernels)
        toHash = to.contentHash(kernels)
        func names(_ view: TableView, without other: TableView) -> [String] {
            view.checkpoints.map(\.name).filter { other.checkpoint(named: $0) == nil }
        }
        checkpoints = Change(added: names(to, without: from), removed: names(from, without: to))
        changedCheckpoints = to.checkpoints.filter { checkpoint in
            from.checkpoint(named: checkpoint.name).map {
                $0.step != checkpoint.step || $0.weight != checkpoint.weight
            } ?? false
        }.map(\.name)
        segments = Change(
            added: to.segments(without: from).count, removed: from.segments(without: to).count)
        encodings = Change(
            added: to.encodings(without: from), removed: from.encodings(without: to))
        preconditioners = Change(
            added: to.preconditioners(without: from), removed: from.preconditioners(without: to))
        bytes = Change(added: to.bytes(without: from), removed: from.bytes(without: to))

        let live = Change(added: try to.allLiveRows, removed: try from.allLiveRows)
        ownRows = live
        ownRows.added.formSubtraction(live.removed)
        ownRows.removed.formSubtraction(live.added)
        changedIDs = Change(added: RowSet(), removed: RowSet())
        try countRows(kernels, cancellation)
        try countVectors(live, cancellation)
    }

    // MARK: rows

    private mutating func countRows(_ kernels: KernelSet, _ cancellation: Cancellation) throws {
        let counts = Change(added: ownRows.added.count, removed: ownRows.removed.count)
        if counts.added > 0, counts.removed > 0 {
            // Ids are looked up of the fewer; each leads to the row of the other snapshot.
            let addedAreFewer = counts.added <= counts.removed
            let (view, other) = addedAreFewer ? (to, from) : (from, to)
            let ids = try RowIDs(view, kernels: kernels)
            var (own, others) = (RowSet(), RowSet())
            func look(_ row: UInt64) throws {
                if row % 1024 == 0 { try cancellation.check() }
                guard let same = try other.row(of: try ids.id(of: row)) else { return }
                own.insert(row)
                others.insert(same)
            }
            try (addedAreFewer ? ownRows.added : ownRows.removed).forEachRow(look)
            changedIDs =
                addedAreFewer
                ? Change(added: own, removed: others) : Change(added: others, removed: own)
        }
        changedRows = changedIDs.added.count
        rows = Change(added: counts.added - changedRows, removed: counts.removed - changedRows)
    }

    package enum RowChange: String, Sendable { case added, removed, changed }

    /// Calls `body` with every id that is not the same row in both, in the order of row numbers; of a
    /// changed one that is the newer row's.
    package func forEachRow(_ body: (RowChange, RowID) throws -> Void) throws {
        let kernels = try KernelSet.chosen()
        let newIDs = try RowIDs(to, kernels: kernels)
        let oldIDs = try RowIDs(from, kernels: kernels)
        var all = ownRows.added
        all.formUnion(ownRows.removed)
        func tell(_ row: UInt64) throws {
            if ownRows.added.contains(row) {
                try body(
                    changedIDs.added.contains(row) ? .changed : .added, try newIDs.id(of: row))
            } else if !changedIDs.removed.contains(row) {
                try body(.removed, try oldIDs.id(of: row))
            }
        }
        try all.forEachRow(tell)
    }

    // MARK: vectors

    private mutating func countVectors(
        _ live: Change<RowSet>, _ cancellation: Cancellation
    ) throws {
        let own = Change(added: to.segments(without: from), removed: from.segments(without: to))
        for number in Set((from.checkpoints + to.checkpoints).map(\.checkpoint)) {
            let added = own.added.filter { $0.checkpoint == number }
            let removed = own.removed.filter { $0.checkpoint == number }
            if added.isEmpty || removed.isEmpty {
                vectors.added += try to.vectorCount(added, live.added, cancellation)
                vectors.removed += try from.vectorCount(removed, live.removed, cancellation)
            } else {
                // What was compacted is in other segments, and the same.
                var rows = try to.rows(of: added, among: live.added, cancellation)
                var others = try from.rows(of: removed, among: live.removed, cancellation)
                let before = others
                others.formSubtraction(rows)
                rows.formSubtraction(before)
                vectors.added += rows.count
                vectors.removed += others.count
            }
        }
        // Of segments that both have, only rows that one has alone differ.
        let known = Set(from.segments.map(\.segment))
        for segment in to.segments where known.contains(segment.segment) {
            vectors.added += try to.count(segment, ownRows.added, cancellation)
            vectors.removed += try to.count(segment, ownRows.removed, cancellation)
        }
    }
}

extension TableView {
    /// The hash of what the snapshot holds; the empty table has one too.
    fileprivate func contentHash(_ kernels: KernelSet) -> String {
        document?.hash
            ?? ContentSums().hash(
                layers: table.layers, in: snapshot, checkpoints: checkpoints, kernels)
    }

    fileprivate var allLiveRows: RowSet {
        get throws { try liveRows ?? RowSet.all(below: rowLimit) }
    }

    fileprivate func segments(without other: TableView) -> [SegmentDocument] {
        let known = Set(other.segments.map(\.segment))
        return segments.filter { !known.contains($0.segment) }
    }

    fileprivate func encodings(
        without other: TableView
    ) -> [(layer: String, codec: CodecKind)] {
        table.layers.flatMap { layer in
            let known = Set(other.encodings(of: layer).map(\.number))
            return encodings(of: layer).filter { !known.contains($0.number) }
                .map { (layer: layer.name, codec: $0.codec) }
        }
    }

    fileprivate func preconditioners(without other: TableView) -> [String] {
        let known = Set(other.preconditioners.map(\.number))
        return preconditioners.filter { !known.contains($0.number) }.map(\.name)
    }

    /// Blocks of segments, companions among them, in the snapshot's encodings, and their bytes.
    private var blocks: [BlocksOfSegment: UInt64] {
        let active = Set(table.layers.flatMap { encodings(of: $0) }.map(\.number))
        var blocks: [BlocksOfSegment: UInt64] = [:]
        for segment in table.allSegments where segment.snapshots.contains(snapshot) {
            for part in segment.encodings where active.contains(part.encoding) {
                blocks[
                    BlocksOfSegment(segment: segment.segment, encoding: part.encoding)] = part.bytes
            }
        }
        return blocks
    }

    fileprivate func bytes(without other: TableView) -> UInt64 {
        let known = other.blocks
        return blocks.reduce(0) { $0 + (known[$1.key] == nil ? $1.value : 0) }
    }

    /// Rows of segments that are live.
    fileprivate func vectorCount(
        _ segments: [SegmentDocument], _ live: RowSet, _ cancellation: Cancellation
    ) throws -> Int {
        guard hasDeletedRows else { return segments.reduce(0) { $0 + $1.rows } }
        return try segments.reduce(0) { $0 + (try count($1, live, cancellation)) }
    }

    fileprivate func rows(
        of segments: [SegmentDocument], among live: RowSet, _ cancellation: Cancellation
    ) throws -> RowSet {
        var rows = RowSet()
        for segment in segments {
            for group in 0..<segment.rowGroups {
                try cancellation.check()
                for row in try rowMap(segment, group: group) where live.contains(row) {
                    rows.insert(row)
                }
            }
        }
        return rows
    }

    /// How many rows of a segment are in a set.
    fileprivate func count(
        _ segment: SegmentDocument, _ rows: RowSet, _ cancellation: Cancellation
    ) throws -> Int {
        guard let bounds = rows.bounds,
            bounds.overlaps(segment.firstRow...max(segment.firstRow, segment.lastRow))
        else { return 0 }
        return try (0..<segment.rowGroups).reduce(0) { count, group in
            try cancellation.check()
            return count + (try rowMap(segment, group: group).count(where: rows.contains))
        }
    }
}

/// The blocks of a segment in one encoding.
private struct BlocksOfSegment: Hashable {
    var segment: UInt64
    var encoding: UInt32
}
