// Statistics as JSON: format-spec/cli-json.md.

extension DatabaseStatistics {
    /// What the C interface hands out.
    ///
    /// - Parameter path: of the database.
    package func json(path: String) -> JSONObject {
        JSONObject([
            ("database", .string(path)), ("bytes", .int(Int64(bytes))),
            ("live_bytes", .int(Int64(liveBytes))), ("garbage_bytes", .int(Int64(garbageBytes))),
            ("amplification", amplification.json),
            ("tables", .array(tables.map { .object($0.json) })),
        ])
    }
}

extension TableStatistics {
    fileprivate var json: JSONObject {
        var object = JSONObject([
            ("table", .string(table)), ("snapshot", .int(Int64(snapshot))),
            ("rows", .int(Int64(rows))), ("checkpoints", .int(Int64(checkpoints))),
            ("segments", .int(Int64(segments))), ("bytes", .int(Int64(bytes))),
        ])
        object.append(contentsOf: sizes)
        return object
    }

    /// What `info` of a table adds to what it says otherwise.
    package var sizes: JSONObject {
        let codecs = bytesOfCodecs.map {
            (key: $0.codec.rawValue, value: JSONValue.int(Int64($0.bytes)))
        }
        return JSONObject([
            ("deleted", .int(Int64(deleted))), ("vectors", .int(Int64(vectors))),
            ("snapshots", .int(Int64(snapshots))), ("codec_bytes", .object(JSONObject(codecs))),
            ("live_bytes", .int(Int64(liveBytes))), ("stored_bytes", .int(Int64(storedBytes))),
            ("garbage_bytes", .int(Int64(garbageBytes))), ("amplification", amplification.json),
        ])
    }
}

extension Double? {
    package var json: JSONValue { map { .float($0) } ?? .null }
}
