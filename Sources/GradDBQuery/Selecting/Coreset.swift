// A subset that covers all rows: farthest-first traversal (Gonzalez, Clustering to minimize the maximum
// intercluster distance, 1985), by cosine distance. Each row is the one that is farthest from those
// chosen before it, so the largest distance of any row to the subset is at most twice the least that
// a subset of its size can have.
//
// Distances only fall. So a pool of the farthest rows is held in memory, and rows are chosen from it as
// long as none outside can be farther: none is farther than it was when the pool was made. Then one
// scan against all rows that were chosen brings the distances up to date. Scores are defined, not
// computed as they come, so this chooses what one scan for each row would.

import GradDB
import Synchronization

public struct CoresetOptions: Sendable {
    public var scope: SelectionScopeOptions
    public var size: SelectionSize
    /// Where the chosen rows will be written: progress is kept beside it.
    public var output: String
    public var resumes = false

    public init(_ scope: SelectionScopeOptions, size: SelectionSize, output: String) {
        self.scope = scope
        self.size = size
        self.output = output
    }
}

/// A row that was chosen.
package struct ChosenRow: Sendable, Equatable {
    package var row: UInt64
    package var score: Double
}

public final class Coreset {
    private let scope: SelectionScope
    private let size: SelectionSize
    private let directory: RowDirectory
    private let copier: RowCopier
    private let filter: RowSet
    private var state: CoresetState
    private var progress: SelectionProgress
    private var isResumed = false

    /// What is held in memory of the farthest rows.
    private static let poolBytes = 64 << 20
    private static let mostPoolRows = 512
    /// Queries of one scan.
    private static let scanQueries = 128

    /// Reads the norms of all rows, and the state of an earlier command under `resumes`.
    public init(_ database: Database, _ options: CoresetOptions) throws {
        scope = try SelectionScope(database, options.scope)
        size = options.size
        directory = try RowDirectory(scope)
        copier = try RowCopier(scope.view, scope.columns)
        filter = directory.filter(scope.view)
        progress = try SelectionProgress(
            output: options.output,
            question: """
                coreset of \(try options.scope.statement(score: "self"))
                \(options.size.limit), of \(try database.identity), table \
                \(scope.view.table.document.table), snapshot \(scope.view.snapshot)
                """)
        state = CoresetState(rowCount: directory.rows.count)
        if options.resumes {
            if let numbers = try progress.read() {
                state = try CoresetState(numbers, directory)
                isResumed = true
            }
        } else {
            try progress.remove()
        }
    }

    /// - Parameter report: called now and then: what is being done, and how much of it is done.
    public func run(report: @escaping Duplicates.Progress) throws -> SelectionResult {
        let count = size.rows(of: directory.usedCount)
        if state.chosen.isEmpty, count > 0 {
            let first = try nearestToMean(report)
            state.choose(first, score: 0)
            try bringUpToDate([first])
        }
        while state.chosen.count < count {
            report("choosing", Double(state.chosen.count) / Double(count))
            try bringUpToDate(try chooseFromPool(count))
            try progress.write { state.numbers }
        }
        let directory = self.directory
        let left = directory.rows.indices.lazy.filter {
            directory.isUsed[$0] && !self.state.isChosen[$0]
        }
        return SelectionResult(
            view: scope.view,
            rows: zip(state.chosen, state.scores).map {
                ChosenRow(row: directory.rows[$0], score: $1)
            },
            candidates: directory.usedCount, zeroRows: directory.zeroCount,
            radius: left.map { self.state.distances[$0] }.max() ?? 0, isResumed: isResumed,
            progress: progress)
    }

    // MARK: the first row

    private func nearestToMean(_ report: @escaping Duplicates.Progress) throws -> Int {
        let mean = try DirectionMean(scope, directory, copier).vector { report("averaging", $0) }
        let query = try zip(scope.columns, mean).map { column, floats in
            let codec = try scope.view.table.codec(
                column.layer, column.encoding.codec, try KernelSet.chosen())
            do throws(EncodingFailure) {
                return try codec.encodeQuery(floats)
            } catch {
                throw GradDBError(
                    .badInput, "the mean of all rows, layer '\(column.layer.name)': \(error.reason)"
                )
            }
        }
        let norm = query.reduce(0) { $0 + $1.squaredNorm }.squareRoot()
        let directory = self.directory
        let best = Mutex<(score: Double, ordinal: Int)?>(nil)
        _ = try Scan(scope.request([query], filter: filter)).run { _, scores in
            let start = directory.starts[scores.unit]
            for index in scores.rows.indices where directory.isUsed[start + index] {
                let rowNorm = scores.squaredNorms[index].squareRoot()
                // Where the mean is zero, no row is nearer than the others.
                let score = norm == 0 ? 0 : scores.dots[index] / (rowNorm * norm)
                best.withLock { best in
                    guard let other = best else {
                        best = (score, start + index)
                        return
                    }
                    let isEarlier = scores.rows[index] < directory.rows[other.ordinal]
                    if score > other.score || score == other.score && isEarlier {
                        best = (score, start + index)
                    }
                }
            }
        }
        return best.withLock { $0?.ordinal } ?? 0
    }

    // MARK: the others

    /// Chooses rows as long as it is certain which one is farthest; at least one.
    private func chooseFromPool(_ count: Int) throws -> [Int] {
        try scope.cancellation.check()
        let limit = max(16, min(Self.mostPoolRows, Self.poolBytes / max(1, copier.rowBytes)))
        var farthest = TopRows(.top, limit: limit + 1)
        for ordinal in directory.rows.indices
        where directory.isUsed[ordinal] && !state.isChosen[ordinal] {
            farthest.insert(state.distances[ordinal], directory.rows[ordinal])
        }
        let ranked = farthest.ranked()
        let outside = ranked.count > limit ? ranked[limit] : nil
        let inside = Set(ranked.prefix(limit).map(\.row))
        let ordinals = directory.rows.indices.filter { inside.contains(directory.rows[$0]) }
        let pool = try CoresetPool(
            try directory.copies(of: ordinals, copier, scope),
            squaredNorms: ordinals.map { directory.squaredNorms[$0] })
        var chosen: [Int] = []
        while state.chosen.count < count, chosen.count < Self.scanQueries {
            let left = ordinals.indices.filter { !state.isChosen[ordinals[$0]] }
            guard let best = left.min(by: { isFarther(ordinals[$0], ordinals[$1]) }) else { break }
            let ordinal = ordinals[best]
            let score = state.distances[ordinal]
            if let outside {
                let row = directory.rows[ordinal]
                guard score > outside.score || score == outside.score && row < outside.row
                else { break }
            }
            state.choose(ordinal, score: score)
            chosen.append(ordinal)
            for (position, distance) in pool.distances(from: best).enumerated() {
                state.lower(ordinals[position], to: distance)
            }
        }
        return chosen
    }

    /// Of equal distances the smaller row number comes first.
    private func isFarther(_ a: Int, _ b: Int) -> Bool {
        let (x, y) = (state.distances[a], state.distances[b])
        return x == y ? directory.rows[a] < directory.rows[b] : x > y
    }

    private func bringUpToDate(_ chosen: [Int]) throws {
        let directory = self.directory
        let queries = try directory.copies(of: chosen, copier, scope).map(\.query)
        let norms = chosen.map { directory.squaredNorms[$0].squareRoot() }
        try state.withDistances { distances in
            nonisolated(unsafe) let distances = distances
            _ = try Scan(scope.request(queries, filter: filter)).run { _, scores in
                // Every row belongs to one row group, and that to one thread.
                let start = directory.starts[scores.unit]
                let rowCount = scores.rows.count
                for index in 0..<rowCount where directory.isUsed[start + index] {
                    let norm = scores.squaredNorms[index].squareRoot()
                    for query in norms.indices {
                        let cosine = scores.dots[query * rowCount + index] / (norm * norms[query])
                        let distance = CoresetState.distance(cosine)
                        if distance < distances[start + index] {
                            distances[start + index] = distance
                        }
                    }
                }
            }
        }
    }
}
