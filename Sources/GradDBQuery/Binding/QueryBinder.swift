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
        let table = try self.table(of: statement)
        let view = try self.view(of: table, statement)
        let layers = try self.layers(of: table, statement)
        let (checkpoints, isWeighted) = try self.checkpoints(of: view, statement)
        let tiers = try self.tiers(of: view, layers, statement.accuracy?.value ?? .exact)
        let grouping = try self.grouping(of: table, statement)
        let columns = try ColumnBinder(table: table, statement: statement, grouping: grouping)
            .columns()
        let predicate = try statement.filter.map { filter in
            try BoundPredicate(
                filter, in: statement.origin.source, schema: Self.filterSchema(of: table),
                parameters: options.parameters)
        }
        let preconditioner = try BoundPreconditioner(
            statement, in: view, layers: layers, checkpoints: checkpoints.map(\.document))
        // Last, as it may read much.
        let queries = try QuerySetBinder(
            view: view, layers: layers, tiers: tiers, checkpoints: checkpoints.map(\.document),
            preconditioner: preconditioner, options: options
        ).bind(statement)
        return BoundQuery(
            statement: statement, view: view, columns: columns,
            measure: statement.measure.value, layers: layers, tiers: tiers,
            checkpoints: checkpoints, isWeighted: isWeighted, queries: queries,
            reduction: statement.reduction, preconditioner: preconditioner, predicate: predicate,
            grouping: grouping, limits: BoundLimits(statement))
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
                    table.lacks(snapshot: number), at: version.range, expected: table.knownNumbers)
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

    // MARK: GROUP BY

    private func grouping(of table: Table, _ statement: Statement) throws -> BoundGrouping? {
        guard let grouping = statement.grouping else { return nil }
        let name = grouping.column
        let columns = table.fields + table.rowColumns.filter { $0.name == "example" }
        guard let column = columns.first(where: { $0.name.utf8.elementsEqual(name.value.utf8) })
        else {
            let names = columns.map(\.name)
            throw statement.error(
                "table '\(table.name)' has no field '\(name.value)'", at: name.range,
                expected: names.isEmpty
                    ? "no GROUP BY, as it has no fields" : "one of " + ColumnBinder.list(names),
                hint: NearestName.hint(for: name.value, among: names))
        }
        return BoundGrouping(column: column, reduction: grouping.reduction.value)
    }

    // MARK: WHERE

    /// Names that a condition may use, with their types.
    static func filterSchema(of table: Table) -> [Field] { table.fields + table.rowColumns }

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
                    expected: "one of \(ColumnBinder.list(names))",
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
    ) throws -> (chosen: [BoundCheckpoint], isWeighted: Bool) {
        switch statement.checkpoints {
        case .newest:
            return (
                view.newestCheckpoint.map { [BoundCheckpoint(document: $0, weight: 1)] } ?? [],
                false
            )
        case .all:
            return (
                try view.checkpoints.map { checkpoint in
                    guard let weight = checkpoint.weight else {
                        throw GradDBError.usage(
                            "ACROSS ALL sums by weight, but checkpoint '\(checkpoint.name)' has "
                                + "none; list the checkpoints with WEIGHT")
                    }
                    return BoundCheckpoint(document: checkpoint, weight: weight)
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
                            : "one of " + ColumnBinder.list(names),
                        hint: NearestName.hint(for: item.name.value, among: names))
                }
                // One checkpoint without a weight is a choice, not a sum.
                let weight = item.weight?.value ?? (list.count == 1 ? 1 : checkpoint.weight)
                guard let weight else {
                    throw statement.error(
                        "checkpoint '\(checkpoint.name)' has no stored weight",
                        at: item.name.range, expected: "WEIGHT w behind it")
                }
                return BoundCheckpoint(document: checkpoint, weight: weight)
            }
            let isWeighted = list.count > 1 || list.contains { $0.weight != nil }
            return (chosen, isWeighted)
        }
    }
}
