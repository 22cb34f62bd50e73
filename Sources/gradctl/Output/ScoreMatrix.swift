// The whole answer of a statement as a matrix: a line for each query, a column for each row or group
// that any of them has in its answer.

import GradDB
import GradDBQuery

struct ScoreMatrix {
    let queries: [String]
    /// Of rows; of groups their values, which may be nil for NULL.
    let ids: [FieldValue?]
    /// What SELECT names, by column of the matrix.
    let fields: [(name: String, values: [FieldValue?])]
    /// Under PER LAYER.
    let layers: [String]?
    /// By layer (one without PER LAYER), query and column; nil where the row is not in the answer.
    let scores: [[[Double?]]]

    var cellCount: Int { scores.count * queries.count * ids.count }

    /// Most cells.
    static let mostCells = 250_000

    /// The name of each column, for people.
    var columnNames: [String] {
        // The text of tokens says more than their ids; of several fields nobody knows which.
        if fields.count == 1, fields[0].values.contains(where: { $0?.type == .string }) {
            return fields[0].values.map(\.plainText)
        }
        return ids.map { $0 == nil ? "NULL" : $0.plainText }
    }

    /// The least and the largest score; 0 without any.
    var range: (least: Double, most: Double) {
        var least = Double.infinity
        var most = -Double.infinity
        for case let score? in scores.joined().joined() {
            least = min(least, score)
            most = max(most, score)
        }
        return least <= most ? (least, most) : (0, 0)
    }
}

/// Makes the matrix of one statement.
final class MatrixCollector: ResultSink {
    private var header: ResultHeader?
    private var queries: [String] = []
    private var positions: [String: Int] = [:]
    /// By row number: what its column is called, and its scores by query and layer.
    private var columns: [UInt64: Column] = [:]
    private var extra: [(index: Int, name: String)] = []
    private var layers: [String] = []

    private struct Column {
        var id: FieldValue?
        var values: [FieldValue?]
        var scores: [Cell: Double] = [:]
    }

    private struct Cell: Hashable {
        var query: Int
        var layer: Int
    }

    func begin(_ header: ResultHeader) throws {
        self.header = header
        layers = header.layers ?? [""]
        // They differ from query to query, or from layer to layer.
        for name in ["rank", "query", "layer"]
        where header.columns.contains(where: { $0.name == name }) {
            throw GradDBError(
                .usage,
                "'\(name)' has no one value for a column of the matrix; leave it out of SELECT")
        }
        // The score is in the matrix, the id beside it.
        extra = header.columns.enumerated().compactMap { index, column in
            ["id", "score"].contains(column.name) ? nil : (index, column.name)
        }
    }

    func append(_ row: ResultRow) throws {
        let query: Int
        if let known = positions[row.query] {
            query = known
        } else {
            query = queries.count
            positions[row.query] = query
            queries.append(row.query)
        }
        let layer = row.layer.flatMap { layers.firstIndex(of: $0) } ?? 0
        columns[row.row, default: Column(id: row.id, values: extra.map { row.values[$0.index] })]
            .scores[Cell(query: query, layer: layer)] = row.score
        guard columns.count * queries.count * layers.count <= ScoreMatrix.mostCells else {
            throw GradDBError(
                .usage,
                "this answer is a matrix of more than \(ScoreMatrix.mostCells.grouped) cells; ask for "
                    + "fewer rows or queries, or take --format jsonl or npy")
        }
    }

    var matrix: ScoreMatrix {
        let order = columns.keys.sorted()
        let ordered = order.compactMap { columns[$0] }
        return ScoreMatrix(
            queries: queries, ids: ordered.map(\.id),
            fields: extra.enumerated().map { position, column in
                (column.name, ordered.map { $0.values[position] })
            },
            layers: header?.layers,
            scores: layers.indices.map { layer in
                queries.indices.map { query in
                    ordered.map { $0.scores[Cell(query: query, layer: layer)] }
                }
            })
    }
}

extension ScoreMatrix {
    /// As `--format matrix` prints it.
    var json: JSONObject {
        func lines(_ layer: [[Double?]]) -> JSONValue {
            .array(layer.map { line in .array(line.map { $0.map { .float($0) } ?? .null }) })
        }
        var object = JSONObject([
            ("queries", .array(queries.map { .string($0) })), ("ids", .array(ids.map(\.json))),
        ])
        if let layers { object.append("layers", .array(layers.map { .string($0) })) }
        object.append(
            "scores", layers == nil ? lines(scores.first ?? []) : .array(scores.map(lines)))
        for field in fields { object.append(field.name, .array(field.values.map(\.json))) }
        return object
    }
}
