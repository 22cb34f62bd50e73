// How gradients changed from one checkpoint to another: each row beside itself.
//
//   bind     a statement over both checkpoints says which rows and layers count
//   pairs    row group by row group: dot products of the stored rows, and their norms
//   spreads  cosines and ratios, by layer and together, in the order of the rows
//   answers  of queries: the scores of all rows at both, ranks, who enters and leaves (QueryDrift.swift)

import GradDB

public struct Drift: Sendable {
    let query: BoundQuery
    let options: DriftOptions
    let filter: RowSet?

    /// - Throws: `.usage` for names and conditions that do not fit, `.badInput` for query vectors that
    ///   cannot be used, `.notFound`, `.corrupt`, `.io`.
    public init(_ database: Database, _ options: DriftOptions) throws {
        guard options.top >= 0 else {
            throw GradDBError(
                .usage, "the number of rows to list is at least 0, not \(options.top)")
        }
        guard !options.from.utf8.elementsEqual(options.to.utf8) else {
            throw GradDBError(
                .usage, "drift compares two checkpoints, and both are '\(options.from)'")
        }
        let score =
            options.query.map { "\(options.measure.rawValue) TO \(Spelling.string($0))" } ?? "self"
        let checkpoints = [options.from, options.to].map { Spelling.string($0) + " WEIGHT 1" }
        let statement = try options.scope.statement(
            score: score, clauses: ["ACROSS " + checkpoints.joined(separator: ", "), "ALL"])
        self.options = options
        query = try QueryEngine(database, options: options.scope.queryOptions)
            .prepare(statement).query
        filter = try query.rows(options.scope.queryOptions)
    }

    /// Names of the chosen layers that are stored as signs: their cosines are no cosines of angles.
    public var layersOfSigns: [String] {
        zip(query.layers, query.tiers[0]).filter { $1.codec == .bit }.map { $0.0.name }
    }

    /// Compares all rows.
    ///
    /// - Parameters:
    ///   - progress: called now and then: what is being done, and how much of it is done.
    ///   - lines: takes lines of JSON, one for each row of each checkpoint: rows of the first as it
    ///     stores them, then those that only the other one has. Nil: they are not made.
    public func run(
        progress: @escaping Duplicates.Progress, lines: ((String) throws -> Void)? = nil
    ) throws -> DriftReport {
        let scan = try PairScan(
            query.view, query.checkpoints[0].document, query.checkpoints[1].document,
            columns: try query.definingColumns(), filter: filter,
            threads: options.scope.threads, cancellation: options.scope.cancellation)
        var report = DriftReport(query, options)
        let (query, writesLines) = (query, lines != nil)
        let counters = try scan.run(
            progress: { progress("comparing", $0) },
            { isFirst, rows in
                var group = RowGroupDrift(rows, isFirst: isFirst)
                if writesLines { group.lines = try Self.lines(rows, isFirst: isFirst, query) }
                return group
            },
            consume: { group in
                try options.scope.cancellation.check()
                report.add(group)
                if let text = group.lines, !text.isEmpty { try lines?(text) }
            })
        report.bytes = counters.bytes
        return report
    }

    private static func lines(
        _ rows: PairScan.Rows, isFirst: Bool, _ query: BoundQuery
    ) throws -> String {
        var text = ""
        for number in rows.rows.indices {
            let row = DriftRow(rows, number, isFirst: isFirst)
            text += try row.json(query.view, layers: query.layers).text + "\n"
        }
        return text
    }
}

extension RowGroupDrift {
    init(_ rows: PairScan.Rows, isFirst: Bool) {
        let paired = rows.rows.indices.filter { rows.isPaired[$0] }
        let single = rows.rows.count - paired.count
        fromOnly = isFirst ? single : 0
        toOnly = isFirst ? 0 : single
        self.rows = paired.map { DriftRow(rows, $0, isFirst: isFirst) }
        guard !paired.isEmpty else { return }
        layers = rows.dots.indices.map { layer in
            paired.map { number in
                let from = rows.squaredNorms[layer][number].squareRoot()
                let to = rows.otherSquaredNorms[layer][number].squareRoot()
                return (
                    cosine: DriftRow.cosine(rows.dots[layer][number], from, to),
                    ratio: DriftRow.ratio(from, to)
                )
            }
        }
    }
}

extension DriftRow {
    /// - Parameter number: position among the rows of the group.
    init(_ rows: PairScan.Rows, _ number: Int, isFirst: Bool) {
        func norm(_ squares: [[Double]]) -> Double {
            squares.reduce(0) { $0 + $1[number] }.squareRoot()
        }
        row = rows.rows[number]
        let own = norm(rows.squaredNorms)
        layerCosines = []
        guard rows.isPaired[number] else {
            fromNorm = isFirst ? own : nil
            toNorm = isFirst ? nil : own
            return
        }
        let other = norm(rows.otherSquaredNorms)
        fromNorm = own
        toNorm = other
        ratio = Self.ratio(own, other)
        cosine = Self.cosine(rows.dots.reduce(0) { $0 + $1[number] }, own, other)
        guard rows.dots.count > 1 else { return }
        layerCosines = rows.dots.indices.map { layer in
            Self.cosine(
                rows.dots[layer][number], rows.squaredNorms[layer][number].squareRoot(),
                rows.otherSquaredNorms[layer][number].squareRoot())
        }
    }

    static func cosine(_ dot: Double, _ from: Double, _ to: Double) -> Double? {
        from > 0 && to > 0 ? dot / (from * to) : nil
    }

    static func ratio(_ from: Double, _ to: Double) -> Double? { from > 0 ? to / from : nil }
}
