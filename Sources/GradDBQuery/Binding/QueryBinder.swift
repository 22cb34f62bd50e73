// Resolves a statement against a database: table, snapshot, columns, layers, checkpoints, query
// vectors, condition. Every refusal points at the word that is wrong.

import GradDB

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package struct QueryBinder {
    package let database: Database
    package let options: QueryOptions

    package init(database: Database, options: QueryOptions) {
        self.database = database
        self.options = options
    }

    package func bind(_ statement: Statement) throws -> BoundQuery {
        try Self.refuseWhatIsMissing(statement)
        let table = try database.table(statement.table.value)
        let view = try self.view(of: table, statement)
        let layers = try self.layers(of: table, statement)
        let (documents, isWeighted) = try checkpoints(of: view, statement)
        let tiers = try self.tiers(of: view, layers, statement.accuracy?.value ?? .exact)
        let vectors = try QueryVectorBinder(
            view: view, layers: layers, tiers: tiers, options: options
        ).bind(statement, checkpoints: documents.map(\.document))
        var bound = BoundQuery(
            statement: statement, view: view, columns: try columns(of: table, statement),
            measure: statement.measure.value, layers: layers, tiers: tiers,
            checkpoints: zip(documents, vectors.queries).map { checkpoint, queries in
                BoundCheckpoint(
                    document: checkpoint.document, weight: checkpoint.weight, queries: queries)
            },
            isWeighted: isWeighted, queryNames: vectors.names, sourceName: vectors.sourceName,
            reduction: statement.reduction, predicate: nil,
            top: try Self.count(statement.top, statement),
            bottom: try Self.count(statement.bottom, statement))
        if statement.top == nil, statement.bottom == nil { bound.top = BoundQuery.defaultTop }
        bound.predicate = try statement.filter.map { filter in
            try BoundPredicate(
                filter, in: statement.origin.source, schema: Self.filterSchema(of: table))
        }
        return bound
    }

    private static func count(
        _ limit: Located<RowLimit>?, _ statement: Statement
    ) throws -> Int {
        switch limit?.value {
        case nil: return 0
        case .rows(let count)?: return count
        case .percent?:
            throw GradDBError(.usage, "percentages are not available in this version")
        }
    }

    private static func refuseWhatIsMissing(_ statement: Statement) throws {
        let isMissing =
            statement.isPerLayer || statement.isAll || statement.grouping != nil
            || statement.preconditioner != nil || statement.querySource == nil
            || statement.reduction == .sum || statement.reduction == .max
        if isMissing { throw GradDBError(.usage, "a clause is not available in this version") }
    }

    /// Names for a message: the first dozen.
    private static func list(_ names: [String]) -> String {
        names.prefix(12).joined(separator: ", ") + (names.count > 12 ? ", …" : "")
    }

    // MARK: AT

    private func view(of table: Table, _ statement: Statement) throws -> TableView {
        guard let version = statement.version else { return try table.newest }
        switch version.value {
        case .snapshot(let number):
            do {
                return try table.view(snapshot: number)
            } catch let error as GradDBError where error.kind == .usage {
                throw statement.error(
                    "table '\(table.name)' has no snapshot \(number)", at: version.range,
                    expected: table.snapshots.last.map { "a number from 0 to \($0.snapshot)" }
                        ?? "0, as it has none yet")
            }
        case .named(let name):
            if let view = try table.view(tag: name) { return view }
            guard let time = Timestamp.parse(name) else {
                throw statement.error(
                    "table '\(table.name)' has no tag '\(name)'", at: version.range,
                    expected: "a tag, a snapshot number or a time like '2026-01-31T12:00:00Z'",
                    hint: NearestName.hint(for: name, among: table.tags.keys.sorted()))
            }
            guard let view = try table.view(time: time) else {
                throw statement.error(
                    "table '\(table.name)' has no snapshot as old as \(name)", at: version.range,
                    expected: table.snapshots.first.map { "\($0.time) or later" }
                        ?? "no AT, as the table has no snapshot yet")
            }
            return view
        }
    }

    // MARK: SELECT

    private func columns(of table: Table, _ statement: Statement) throws -> [OutputColumn] {
        var columns: [OutputColumn] = []
        for item in statement.selection {
            switch item.value {
            case .all:
                columns += table.fields.enumerated().map { index, field in
                    OutputColumn(name: field.name, source: .field(index))
                }
            case .column(let name, let alias):
                guard let source = Self.source(of: name.value, in: table) else {
                    let names = table.fields.map(\.name) + Self.pseudoColumns.map(\.name)
                    throw statement.error(
                        "table '\(table.name)' has no column '\(name.value)'", at: name.range,
                        expected: "one of \(Self.list(names)), or *",
                        hint: NearestName.hint(for: name.value, among: names))
                }
                columns.append(OutputColumn(name: alias?.value ?? name.value, source: source))
            }
            try refuseCollisions(columns, item, statement)
        }
        return columns
    }

    /// A name of the answer means one thing: not two columns, nor a column and one of those that
    /// every answer has.
    private func refuseCollisions(
        _ columns: [OutputColumn], _ item: Located<SelectItem>, _ statement: Statement
    ) throws {
        guard case .column(let name, let alias) = item.value, let last = columns.last else {
            return
        }
        let isTaken =
            columns.contains { $0.name == last.name && $0.source != last.source }
            || (alias != nil && TableSchema.reservedFieldNames.contains(last.name)
                && last.name != name.value)
        guard !isTaken else {
            throw statement.error(
                "the answer has a column '\(last.name)' already", at: (alias ?? name).range,
                expected: "another name behind AS")
        }
    }

    private static let pseudoColumns: [(name: String, source: OutputColumn.Source)] = [
        ("id", .id), ("score", .score), ("rank", .rank), ("row", .row),
        ("checkpoint", .checkpoint), ("query", .query),
    ]

    private static func source(of name: String, in table: Table) -> OutputColumn.Source? {
        if let field = table.fields.firstIndex(where: { $0.name == name }) { return .field(field) }
        return pseudoColumns.first { $0.name == name }?.source
    }

    // MARK: WHERE

    /// Names that a condition may use, with their types: the fields, `id` and `row`.
    static func filterSchema(of table: Table) -> [Field] {
        table.fields + [
            Field(name: "id", type: table.head.idType ?? .string),
            Field(name: "row", type: .int),
        ]
    }

    // MARK: LAYERS

    private func layers(of table: Table, _ statement: Statement) throws -> [Layer] {
        guard !statement.layers.isEmpty else { return table.layers }
        var chosen: Set<UInt32> = []
        for glob in statement.layers {
            let matches = table.layers.filter { Glob(glob.value).matches($0.name) }
            guard !matches.isEmpty else {
                let names = table.layers.map(\.name)
                throw statement.error(
                    "no layer of table '\(table.name)' matches '\(glob.value)'", at: glob.range,
                    expected: "one of \(Self.list(names))",
                    hint: NearestName.hint(for: glob.value, among: names))
            }
            chosen.formUnion(matches.map(\.number))
        }
        return table.layers.filter { chosen.contains($0.number) }
    }

    /// The encodings of each tier: those of a layer one after the other, and its coarsest from
    /// there on.
    private func tiers(
        of view: TableView, _ layers: [Layer], _ accuracy: Accuracy
    ) throws -> [[LayerEncoding]] {
        let finest = try layers.map(view.finestEncoding)
        guard accuracy != .exact else { return [finest] }
        let encodings = layers.map(view.encodings(of:))
        let count = encodings.map(\.count).max() ?? 1
        return [finest]
            + (1..<max(1, count)).map { tier in encodings.map { $0[min(tier, $0.count - 1)] } }
    }

    // MARK: ACROSS

    private func checkpoints(
        of view: TableView, _ statement: Statement
    ) throws -> (chosen: [(document: CheckpointDocument, weight: Double)], isWeighted: Bool) {
        switch statement.checkpoints {
        case .newest:
            return (view.newestCheckpoint.map { [($0, 1)] } ?? [], false)
        case .all:
            return (
                try view.checkpoints.map { checkpoint in
                    guard let weight = checkpoint.weight else {
                        throw GradDBError.usage(
                            "ACROSS ALL sums by weight, but checkpoint '\(checkpoint.name)' has "
                                + "none; list the checkpoints with WEIGHT")
                    }
                    return (checkpoint, weight)
                }, true
            )
        case .listed(let list):
            let names = view.checkpoints.map(\.name)
            let chosen = try list.map { item in
                guard let checkpoint = view.checkpoint(named: item.name.value) else {
                    throw statement.error(
                        "table '\(view.table.name)' has no checkpoint '\(item.name.value)'",
                        at: item.name.range,
                        expected: names.isEmpty
                            ? "none, as it has none yet"
                            : "one of " + Self.list(names),
                        hint: NearestName.hint(for: item.name.value, among: names))
                }
                // One checkpoint without a weight is a choice, not a sum.
                let weight = item.weight?.value ?? (list.count == 1 ? 1 : checkpoint.weight)
                guard let weight else {
                    throw statement.error(
                        "checkpoint '\(checkpoint.name)' has no stored weight",
                        at: item.name.range, expected: "WEIGHT w behind it")
                }
                return (document: checkpoint, weight: weight)
            }
            let isWeighted = list.count > 1 || list.contains { $0.weight != nil }
            return (chosen, isWeighted)
        }
    }
}
