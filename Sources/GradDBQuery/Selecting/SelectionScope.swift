// Which rows and layers a selection is about: names against a snapshot, as a statement's clauses
// would have them.

import GradDB

/// What a caller says of the rows that count.
public struct SelectionScopeOptions: Sendable {
    public var table: String
    /// A snapshot's number, a tag or a time; nil is the newest.
    public var version: String?
    /// Nil is the newest.
    public var checkpoint: String?
    /// Patterns over names of layers; none chooses all.
    public var layers: [String] = []
    /// As behind WHERE.
    public var condition: String?
    public var threads = 2
    public var cancellation = Cancellation()

    public init(table: String) { self.table = table }
}

/// The rows of one checkpoint that count, in the encodings that define their scores.
package struct SelectionScope: Sendable {
    package let view: TableView
    package let checkpoint: CheckpointDocument
    package let columns: [ScanColumn]
    package let filter: RowSet?
    package let threads: Int
    package let cancellation: Cancellation

    /// - Throws: `.usage` for names and conditions that do not fit, `.notFound`, `.corrupt`, `.io`.
    package init(_ database: Database, _ options: SelectionScopeOptions) throws {
        let table = try database.table(options.table)
        view = try Self.view(of: table, options.version)
        threads = options.threads
        cancellation = options.cancellation
        checkpoint = try Self.checkpoint(options.checkpoint, in: view)
        let kernels = try KernelSet.chosen()
        let view = self.view
        columns = try Self.layers(options.layers, of: table).map { layer in
            let encoding = try view.finestEncoding(of: layer)
            let codec = try table.codec(layer, encoding.codec, kernels)
            return ScanColumn(
                layer: layer, encoding: encoding, slabs: codec.geometry.slabCount,
                target: encoding.codec)
        }
        filter = try options.condition.map {
            try Self.rows(of: view, where: $0, options.cancellation)
        }
    }

    /// A scan of the rows that count.
    package func request(
        _ queries: [[EncodedQuery]], filter: RowSet?
    ) -> ScanRequest {
        ScanRequest(
            view: view, checkpoint: checkpoint, columns: columns, queries: queries, filter: filter,
            threads: threads, cancellation: cancellation)
    }

    private static func view(of table: Table, _ version: String?) throws -> TableView {
        guard let version else { return try table.newest }
        if let number = UInt64(version) { return try table.view(snapshot: number) }
        if let view = try table.view(tag: version) { return view }
        guard let time = Timestamp.parse(version) else {
            throw GradDBError(
                .usage,
                "table '\(table.name)' has no tag '\(version)'; --at takes a snapshot's number, a "
                    + "tag, or a time like 2026-01-31T12:00:00Z")
        }
        guard let view = try table.view(time: time) else {
            throw GradDBError(
                .usage, "table '\(table.name)' has no snapshot as old as \(version)")
        }
        return view
    }

    private static func checkpoint(
        _ name: String?, in view: TableView
    ) throws -> CheckpointDocument {
        let table = view.table.name
        guard let newest = view.newestCheckpoint else {
            throw GradDBError(
                .usage, "table '\(table)' has no rows yet; bring some with `gradctl ingest`")
        }
        guard let name else { return newest }
        guard let checkpoint = view.checkpoint(named: name) else {
            throw GradDBError(
                .usage,
                "table '\(table)' has no checkpoint '\(name)'; it has "
                    + list(view.checkpoints.map(\.name)))
        }
        return checkpoint
    }

    private static func layers(_ globs: [String], of table: Table) throws -> [Layer] {
        guard !globs.isEmpty else { return table.layers }
        var chosen: Set<UInt32> = []
        for glob in globs {
            let matches = table.layers.filter { Glob(glob).matches($0.name) }
            guard !matches.isEmpty else {
                throw GradDBError(
                    .usage,
                    "no layer of table '\(table.name)' matches '\(glob)'; it has "
                        + list(table.layers.map(\.name)))
            }
            chosen.formUnion(matches.map(\.number))
        }
        return table.layers.filter { chosen.contains($0.number) }
    }

    private static func list(_ names: [String]) -> String {
        names.prefix(12).joined(separator: ", ") + (names.count > 12 ? ", …" : "")
    }

    private static func rows(
        of view: TableView, where condition: String, _ cancellation: Cancellation
    ) throws -> RowSet {
        let source = SourceText(condition)
        let predicate: BoundPredicate
        do {
            predicate = try BoundPredicate(
                try Expression.parse(source), in: source,
                schema: QueryBinder.filterSchema(of: view.table))
        } catch {
            throw GradDBError(error)
        }
        return try predicate.rows(of: view, cancellation) ?? RowSet(rowCount: view.rowCount)
    }
}

extension BoundPredicate {
    /// The rows of a snapshot for which the condition is true.
    fileprivate func rows(of view: TableView, _ cancellation: Cancellation) throws -> RowSet? {
        var rows = RowSet(rowCount: view.rowCount)
        if let constant {
            if constant == .yes { for row in 0..<view.rowCount { rows.insert(row) } }
            return rows
        }
        try ColumnReader(view).forEachRun(columns.map(\.name)) { columns, range in
            try cancellation.check()
            let count = columns.first?.value.count ?? range.count
            let mask = try self.mask(over: columns, rowCount: count)
            for (index, row) in range.enumerated() where mask[index] { rows.insert(row) }
        }
        return rows
    }
}
