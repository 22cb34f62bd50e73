// What a database and its tables are, as JSON: format-spec/cli-json.md. The command line prints
// these objects, the C ABI hands them out.

extension Database {
    /// `info` without a table.
    package var infoJSON: JSONObject {
        get throws {
            let statistics = try statistics
            let tables = statistics.tables.map { table in
                JSONValue.object(
                    JSONObject([
                        ("table", .string(table.table)), ("rows", .int(Int64(table.rows))),
                        ("snapshot", .int(Int64(table.snapshot))),
                        ("deleted", .int(Int64(table.deleted))),
                        ("bytes", .int(Int64(table.bytes))),
                    ]))
            }
            return JSONObject([
                ("database", .string(path)), ("format_version", .int(Int64(formatVersion))),
                ("bytes", .int(Int64(statistics.bytes))), ("tables", .array(tables)),
                ("live_bytes", .int(Int64(statistics.liveBytes))),
                ("garbage_bytes", .int(Int64(statistics.garbageBytes))),
                ("amplification", statistics.amplification.json),
            ])
        }
    }
}

extension Table {
    /// `create`.
    package var schemaJSON: JSONObject {
        JSONObject([
            ("table", .string(name)), ("unit", .string(unit.rawValue)), ("layers", layersJSON),
            ("fields", fieldsJSON), ("row_group", .int(Int64(rowsPerGroup))),
        ])
    }

    /// `info` of a table.
    package var infoJSON: JSONObject {
        get throws {
            let tags = self.tags.sorted { $0.key < $1.key }
                .map { (key: $0.key, value: JSONValue.int(Int64($0.value))) }
            var object = JSONObject([
                ("table", .string(name)), ("unit", .string(unit.rawValue)),
                ("rows", .int(Int64(rowCount))), ("snapshot", .int(Int64(newestSnapshot))),
                ("row_group", .int(Int64(rowsPerGroup))),
                ("segments", .int(Int64(try segmentCount))), ("bytes", .int(Int64(try bytes))),
                ("layers", layersJSON), ("fields", fieldsJSON),
                ("checkpoints", .array(try checkpoints.map { .object($0.json) })),
                ("preconditioners", .array(activePreconditioners.map { .string($0.name) })),
                ("tags", .object(JSONObject(tags))),
            ])
            object.append(contentsOf: try statistics.sizes)
            return object
        }
    }

    private var layersJSON: JSONValue {
        .array(
            layers.map { layer in
                let codecs = self.codecs(of: layer).map { JSONValue.string($0.rawValue) }
                var object = JSONObject([
                    ("name", .string(layer.name)), ("dims", .int(Int64(layer.dims))),
                    ("codec", codecs.first ?? .null), ("codecs", .array(codecs)),
                ])
                if let projector = layer.projector {
                    object.append("projector", .object(projector.json))
                    object.append("projector_hash", .string(projector.hash))
                }
                return .object(object)
            })
    }

    private var fieldsJSON: JSONValue {
        .array(
            fields.map {
                .object(
                    JSONObject([("name", .string($0.name)), ("type", .string($0.type.rawValue))]))
            })
    }
}

extension CheckpointInfo {
    package var json: JSONObject {
        JSONObject([
            ("name", .string(name)), ("step", step.map { .int($0) } ?? .null),
            ("weight", weight.map { .float($0) } ?? .null), ("rows", .int(Int64(rows))),
        ])
    }
}

extension SnapshotInfo {
    /// A line of `snapshots`.
    package var json: JSONObject {
        JSONObject([
            ("snapshot", .int(Int64(number))), ("parent", .int(Int64(parent))),
            ("time", .string(time)), ("operation", .string(operation)),
            ("message", .string(message)),
            ("checkpoint", checkpoint.map { .string($0) } ?? .null), ("rows", .int(Int64(rows))),
            ("deleted", .int(Int64(deleted))), ("segments", .int(Int64(segments))),
            ("bytes", .int(Int64(bytes))), ("hash", .string(hash)),
            ("restored", restored.map { .int(Int64($0)) } ?? .null),
            ("tags", .array(tags.map { .string($0) })),
        ])
    }
}

extension IngestResult {
    /// What `ingest` says when it is done.
    package func json(table: String, checkpoint: String) -> JSONObject {
        JSONObject([
            ("snapshot", .int(Int64(snapshot))), ("table", .string(table)),
            ("checkpoint", .string(checkpoint)), ("rows", .int(Int64(rows))),
            ("new_rows", .int(Int64(newRows))), ("skipped", .int(Int64(skipped))),
            ("bytes", .int(Int64(bytes))), ("input_bytes", .int(Int64(inputBytes))),
            ("seconds", .float(seconds)),
        ])
    }
}
