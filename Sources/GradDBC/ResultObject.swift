// What a `graddb_result` stands for: an answer turned into columns, or a plan.

import CGradDB
import GradDB
import GradDBQuery

final class ResultObject: Sendable {
    let rows: Int
    let columns: [ResultColumn]
    let isPlan: Bool
    let planJSON: CText
    let planText: CText

    /// Runs a statement and keeps its rows as columns.
    init(_ prepared: QueryEngine.Prepared, of engine: QueryEngine) throws {
        let sink = ColumnSink()
        let plan = try engine.run(prepared, into: sink)
        if let failure = plan.deviceFailure {
            Notes.add("warning", "graddb.device", "\(failure); the processor did what was left")
        }
        isPlan = prepared.isPlan
        rows = sink.rows
        columns = sink.finished
        planJSON = CText(
            plan.json(of: prepared.text).text)
        planText = CText(plan.rendered)
    }
}

/// Puts rows into columns as they come, in the order of format-spec/cli-json.md: the fixed ones,
/// then what SELECT adds to them.
private final class ColumnSink: ResultSink {
    private(set) var rows = 0
    private var builders: [(column: ColumnBuilder, value: (ResultRow) -> FieldValue?)] = []

    var finished: [ResultColumn] { builders.map { $0.column.finished() } }

    func begin(_ header: ResultHeader) {
        func column(
            _ name: String, _ type: FieldType, _ value: @escaping (ResultRow) -> FieldValue?
        ) {
            builders.append((ColumnBuilder(name, type), value))
        }
        column("query", .string) { .string($0.query) }
        column("rank", .int) { .int(Int64($0.rank)) }
        column("end", .string) { .string($0.end.rawValue) }
        column("id", header.idType) { $0.id }
        column("score", .float) { .float($0.score) }
        if header.layers != nil { column("layer", .string) { $0.layer.map { .string($0) } } }
        if header.hasEstimates {
            column("score_low", .float) { $0.interval.map { .float($0.lowerBound) } }
            column("score_high", .float) { $0.interval.map { .float($0.upperBound) } }
            column("expected_recall", .float) { $0.expectedRecall.map { .float($0) } }
        }
        var seen = Set(builders.map(\.column.name))
        for (index, output) in header.columns.enumerated() where seen.insert(output.name).inserted {
            column(output.name, output.type) { $0.values[index] }
        }
    }

    func append(_ row: ResultRow) {
        rows += 1
        for builder in builders { builder.column.append(builder.value(row)) }
    }
}
