// Which rows and layers a selection is about: a statement without queries, bound as all are.

import GradDB

/// What a caller says of the rows that count.
public struct SelectionScopeOptions: Sendable {
    public var table: String
    /// A snapshot's number, a tag or a time; nil is the newest.
    public var version: String?
    /// None is the newest.
    public var checkpoints: [String] = []
    /// Patterns over names of layers; none chooses all.
    public var layers: [String] = []
    /// As behind WHERE.
    public var condition: String?
    public var threads = 2
    public var cancellation = Cancellation()

    public init(table: String) { self.table = table }

    /// The statement that asks for these rows.
    ///
    /// - Parameter score: what stands behind SCORE.
    /// - Throws: `.usage` for a condition that is more, or less, than one.
    package func statement(score: String, clauses: [String] = []) throws -> String {
        var lines = ["FROM \(Spelling.table(table))", "SCORE \(score)"]
        if let version {
            lines[0] += " AT " + (UInt64(version) == nil ? Spelling.string(version) : version)
        }
        func list(_ names: [String]) -> String {
            names.map(Spelling.string).joined(separator: ", ")
        }
        if !layers.isEmpty { lines.append("LAYERS \(list(layers))") }
        if !checkpoints.isEmpty { lines.append("ACROSS \(list(checkpoints))") }
        lines += clauses
        if let condition {
            do {
                // By itself, so that nothing but a condition can stand in it.
                _ = try Expression.parse(SourceText(condition))
            } catch {
                throw GradDBError(error)
            }
            lines += ["WHERE (", condition, ")"]
        }
        return lines.joined(separator: "\n")
    }

    package var queryOptions: QueryOptions {
        var options = QueryOptions()
        options.threads = threads
        options.cancellation = cancellation
        return options
    }
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
        let query = try QueryEngine(database, options: options.queryOptions)
            .prepare(try options.statement(score: "self")).query
        guard let checkpoint = query.checkpoints.first?.document else {
            throw GradDBError(
                .usage,
                "table '\(options.table)' has no rows yet; bring some with `gradctl ingest`")
        }
        view = query.view
        threads = options.threads
        cancellation = options.cancellation
        self.checkpoint = checkpoint
        columns = try query.definingColumns()
        filter = try query.rows(options.queryOptions)
    }

    /// A scan of rows of the checkpoint.
    package func request(_ queries: [[EncodedQuery]], filter: RowSet?) -> ScanRequest {
        ScanRequest(
            view: view, checkpoint: checkpoint, columns: columns, queries: queries, filter: filter,
            threads: threads, cancellation: cancellation)
    }
}
