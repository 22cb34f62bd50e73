// What depends on a part of a table: which snapshots and tags have it, and which rows are in it.

/// Looks things up for findings of one table.
struct Dependents {
    /// Rows that a finding names.
    private static let namedRows = 3

    let table: Table
    private let view: TableView
    private let bases: [UInt64: SegmentDocument]
    private let encodings: [UInt32: (layer: String, snapshots: SnapshotRanges)]

    init(_ table: Table) throws {
        self.table = table
        view = try table.newest
        bases = Dictionary(
            table.allSegments.filter { $0.base == nil }.map { ($0.segment, $0) },
            uniquingKeysWith: { first, _ in first })
        encodings = Dictionary(
            table.layers.flatMap { layer in
                layer.encodings.map { ($0.number, (layer.name, $0.snapshots)) }
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Adds what depends on the finding's places, which are in one segment.
    func complete(_ finding: inout Finding, in segment: SegmentDocument) {
        let base = segment.base.flatMap { bases[$0] } ?? segment
        finding.table = table.name
        finding.segment = segment.segment
        finding.checkpoint =
            table.allCheckpoints.first { $0.checkpoint == segment.checkpoint }?.name
        let layers = Set(finding.places.compactMap { $0.encoding.flatMap { encodings[$0]?.layer } })
        finding.layer = layers.count == 1 ? layers.first : nil

        let ranges: [SnapshotRanges]
        if finding.places.contains(where: { $0.encoding == nil }) {
            ranges = [base.snapshots]
        } else {
            ranges = Set(finding.places.compactMap(\.encoding)).compactMap {
                encodings[$0]?.snapshots.intersection(base.snapshots)
            }
        }
        finish(&finding, ranges)

        let groups = Set(finding.places.map(\.rowGroup)).sorted()
        finding.rows = groups.reduce(0) { $0 + segment.rows(ofGroup: $1) }
        finding.ids = groups.first.map { ids(in: base, group: $0) } ?? []
    }

    /// Adds which of the table's snapshots have one of these ranges.
    func finish(_ finding: inout Finding, _ ranges: [SnapshotRanges]) {
        finding.snapshots = table.snapshotNumbers.filter { number in
            ranges.contains { $0.contains(number) }
        }
        addTags(&finding)
    }

    /// Says that all snapshots depend on it.
    func finishAll(_ finding: inout Finding) {
        finding.snapshots = table.snapshotNumbers
        addTags(&finding)
    }

    /// Says that the snapshots which have one of these rows depend on it, and names some of them.
    func finish(_ finding: inout Finding, rows: Range<UInt64>) {
        finding.records = rows
        finding.rows = rows.count
        finding.ids = ids(of: rows.prefix(Self.namedRows))
        finding.snapshots = table.snapshots.filter { $0.nextRow > rows.lowerBound }.map(\.snapshot)
        addTags(&finding)
    }

    private func addTags(_ finding: inout Finding) {
        let snapshots = Set(finding.snapshots)
        finding.tags = table.tags.filter { snapshots.contains($0.value) }.keys.sorted()
    }

    private func ids(in segment: SegmentDocument, group: Int) -> [RowID] {
        ids(of: ((try? view.rowMap(segment, group: group)) ?? []).prefix(Self.namedRows))
    }

    /// As far as they can be read.
    private func ids(of rows: some Sequence<UInt64>) -> [RowID] {
        guard let kernels = try? KernelSet.chosen(), let ids = try? RowIDs(view, kernels: kernels)
        else { return rows.compactMap { try? view.record(row: $0).id } }
        return rows.compactMap { (try? ids.id(of: $0)) ?? (try? view.record(row: $0).id) }
    }
}
