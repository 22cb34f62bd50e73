// Pairs of rows that are nearly alike.
//
//   norms      of all rows, from the heads of their blocks; zero rows have no direction and leave
//   plan       a sample of pairs says how many bits tell rows apart: bands, or all pairs by a scan
//   signatures one pass over all vectors; rows that are stored alike become one
//   bands      rows whose bits agree in a band are candidates
//   cosines    of candidates, exactly; the pairs above the limit connect rows to groups

import GradDB

/// What makes rows duplicates.
public struct DuplicateOptions: Sendable {
    public var scope: SelectionScopeOptions
    /// The least cosine of a pair, from 0.5 to 1.
    public var above = 0.99
    /// The least probability of finding each pair, up to 1.
    public var recall = 0.999

    public init(_ scope: SelectionScopeOptions) { self.scope = scope }
}

/// Rows that pairs connect.
public struct DuplicateGroup: Sendable {
    public var ids: [RowID]
    /// Of the pairs that were found.
    public var lowest: Double
    public var highest: Double
}

/// What was found.
public struct DuplicateReport: Sendable {
    public var snapshot: UInt64
    public var checkpoint: String
    /// Rows that were compared, and zero rows.
    public var rows: Int
    public var zeroRows: Int
    public var pairs: Int
    /// Row numbers, ascending; the largest group first.
    fileprivate var groups: [(rows: [UInt64], cosines: DuplicateGroups.Cosines)]
    fileprivate var view: TableView

    public var groupCount: Int { groups.count }
    /// Rows that would go if each group kept one.
    public var duplicates: Int { groups.reduce(0) { $0 + $1.rows.count - 1 } }

    /// A group with the ids of its rows.
    public func group(_ index: Int) throws -> DuplicateGroup {
        let (rows, cosines) = groups[index]
        return DuplicateGroup(
            ids: try rows.map { try view.record(row: $0).id }, lowest: cosines.lowest,
            highest: cosines.highest)
    }
}

public struct Duplicates: Sendable {
    private let options: DuplicateOptions
    private let scope: SelectionScope

    /// Called now and then, from any thread: what is being done, and how much of it is done.
    public typealias Progress = @Sendable (_ stage: String, _ share: Double) -> Void

    /// - Throws: `.usage` for names that do not exist and numbers that do not fit.
    public init(_ database: Database, _ options: DuplicateOptions) throws {
        guard options.above >= 0.5, options.above <= 1 else {
            throw GradDBError(.usage, "the least cosine is from 0.5 to 1, not \(options.above)")
        }
        guard options.recall > 0, options.recall <= 1 else {
            throw GradDBError(
                .usage, "the recall is above 0 and at most 1, not \(options.recall)")
        }
        self.options = options
        scope = try SelectionScope(database, options.scope)
    }

    public func run(progress: @escaping Progress) throws -> DuplicateReport {
        let directory = try RowDirectory(scope)
        let copier = try RowCopier(scope.view, scope.columns)
        let search = DuplicateSearch(
            options: options, scope: scope, directory: directory, copier: copier,
            progress: progress)
        var connected = try search.run()
        let groups = connected.groups()
        let found = groups.map { group in
            (rows: group.rows.map { directory.rows[$0] }.sorted(), cosines: group.cosines)
        }
        return DuplicateReport(
            snapshot: scope.view.snapshot, checkpoint: scope.checkpoint.name,
            rows: directory.rowCount, zeroRows: directory.zeroCount, pairs: connected.pairs,
            groups: found.sorted {
                ($1.rows.count, $0.rows[0]) < ($0.rows.count, $1.rows[0])
            },
            view: scope.view)
    }
}
