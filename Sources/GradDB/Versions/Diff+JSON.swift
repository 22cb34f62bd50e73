// What diff says, as JSON: format-spec/cli-json.md.

extension SnapshotDiff {
    package var json: JSONObject {
        func names(_ names: [String]) -> JSONValue { .array(names.map { .string($0) }) }
        func encodings(_ encodings: [(layer: String, codec: CodecKind)]) -> JSONValue {
            .array(
                encodings.map {
                    .object(
                        JSONObject([
                            ("layer", .string($0.layer)), ("codec", .string($0.codec.rawValue)),
                        ]))
                })
        }
        return JSONObject([
            ("table", .string(to.table.name)), ("from", .int(Int64(from.snapshot))),
            ("to", .int(Int64(to.snapshot))), ("equal", .bool(isEqual)),
            ("rows_added", .int(Int64(rows.added))), ("rows_removed", .int(Int64(rows.removed))),
            ("rows_changed", .int(Int64(changedRows))),
            ("vectors_added", .int(Int64(vectors.added))),
            ("vectors_removed", .int(Int64(vectors.removed))),
            ("checkpoints_added", names(checkpoints.added)),
            ("checkpoints_removed", names(checkpoints.removed)),
            ("checkpoints_changed", names(changedCheckpoints)),
            ("fields_added", .array([])), ("fields_removed", .array([])),
            ("segments_added", .int(Int64(segments.added))),
            ("segments_removed", .int(Int64(segments.removed))),
            ("encodings_added", encodings(self.encodings.added)),
            ("encodings_removed", encodings(self.encodings.removed)),
            ("preconditioners_added", names(preconditioners.added)),
            ("preconditioners_removed", names(preconditioners.removed)),
            ("bytes_added", .int(Int64(bytes.added))),
            ("bytes_removed", .int(Int64(bytes.removed))), ("from_hash", .string(fromHash)),
            ("to_hash", .string(toHash)),
        ])
    }
}
