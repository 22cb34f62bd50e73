// What drift says, as JSON: format-spec/cli-json.md.

import GradDB

extension DriftRow {
    /// - Parameter layers: the chosen ones.
    package func json(_ view: TableView, layers: [Layer]) throws -> JSONObject {
        var object = JSONObject([
            ("id", try view.record(row: row).id.json), ("cosine", cosine.json),
            ("ratio", ratio.json), ("from_norm", fromNorm.json), ("to_norm", toNorm.json),
        ])
        if !layerCosines.isEmpty {
            object.append(
                "cosines",
                .object(
                    JSONObject(zip(layers, layerCosines).map { (key: $0.name, value: $1.json) })))
        }
        return object
    }
}

extension Drift {
    /// A row of the report.
    package func json(_ row: DriftRow) throws -> JSONObject {
        try row.json(query.view, layers: query.layers)
    }

    /// A row's id.
    package func id(_ row: DriftRow) throws -> RowID { try query.view.record(row: row.row).id }
}

extension Spread {
    package var json: JSONValue {
        .object(
            JSONObject([
                ("mean", mean.json), ("least", least.json), ("p05", quantile(0.05).json),
                ("p25", quantile(0.25).json), ("median", quantile(0.5).json),
                ("p75", quantile(0.75).json), ("p95", quantile(0.95).json),
                ("greatest", greatest.json),
            ]))
    }
}

extension DriftSpread {
    /// Members of a layer's line and of the summary.
    fileprivate var members: [JSONObject.Member] {
        [
            ("zero_rows", .int(Int64(zeroRows))), ("cosine", cosine.json), ("ratio", ratio.json),
            ("histogram", .array(histogram.counts.map { .int(Int64($0)) })),
        ]
    }
}

extension LayerDrift {
    package func json(rows: Int) -> JSONObject {
        JSONObject(
            [
                ("layer", .string(name)), ("dims", .int(Int64(dims))),
                ("codec", .string(codec.rawValue)), ("rows", .int(Int64(rows))),
            ] + spread.members)
    }
}

extension DriftReport {
    package func json(table: String, seconds: Double) -> JSONObject {
        JSONObject(
            [
                ("table", .string(table)), ("snapshot", .int(Int64(snapshot))),
                ("from", .string(from)), ("to", .string(to)), ("rows", .int(Int64(rows))),
                ("from_only", .int(Int64(fromOnly))), ("to_only", .int(Int64(toOnly))),
            ] + together.members + [
                ("bytes", .int(Int64(bytes))), ("seconds", .float(seconds)),
            ])
    }
}

extension QueryDrift {
    /// A line for each row, and one for the query.
    package func lines(measure: InfluenceOptions.Measure, top: Int) -> [JSONObject] {
        rows.map { row in
            JSONObject([
                ("query", .string(name)), ("id", row.id.json),
                ("change", .string(row.change.rawValue)),
                ("from_rank", row.from.map { .int(Int64($0.rank)) } ?? .null),
                ("to_rank", row.to.map { .int(Int64($0.rank)) } ?? .null),
                ("from_score", row.from.map { .float($0.score) } ?? .null),
                ("to_score", row.to.map { .float($0.score) } ?? .null),
            ])
        } + [
            JSONObject([
                ("query", .string(name)), ("measure", .string(measure.rawValue)),
                ("top", .int(Int64(top))), ("entered", .int(Int64(count(.entered)))),
                ("left", .int(Int64(count(.left)))), ("stayed", .int(Int64(count(.stayed)))),
                ("rank_correlation", rankCorrelation.json),
            ])
        ]
    }
}
