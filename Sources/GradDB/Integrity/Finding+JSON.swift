// A finding as a line of `check`: format-spec/cli-json.md.

extension Finding {
    /// What does not apply, or is not known, is not there.
    package var json: JSONObject {
        var members: [(String, JSONValue)] = [
            ("problem", .string(message)), ("table", .string(table)),
            ("kind", .string(kind.rawValue)),
        ]
        func add(_ key: String, _ value: JSONValue?) {
            if let value { members.append((key, value)) }
        }
        func list<T>(_ values: [T], _ value: (T) -> JSONValue) -> JSONValue? {
            values.isEmpty ? nil : .array(values.map(value))
        }
        add("file", file.map { .string($0) })
        add("segment", segment.map { .int(Int64($0)) })
        add("block", block.map { .object($0.json) })
        if kind == .file, !places.isEmpty { add("blocks", .int(Int64(places.count))) }
        add("layer", layer.map { .string($0) })
        add("checkpoint", checkpoint.map { .string($0) })
        add("rows", rows.map { .int(Int64($0)) })
        add("ids", list(ids) { $0.json })
        add("snapshots", list(snapshots) { .int(Int64($0)) })
        add("tags", list(tags) { .string($0) })
        return JSONObject(members)
    }

    /// For people.
    package var text: String {
        var details: [String] = []
        if let layer { details.append("layer '\(layer)'") }
        if let checkpoint { details.append("checkpoint '\(checkpoint)'") }
        if let rows {
            let names = ids.map(\.description).joined(separator: ", ")
            details.append(
                "\(rows) rows"
                    + (names.isEmpty ? "" : " (\(names)\(rows > ids.count ? ", …" : ""))"))
        }
        if let first = snapshots.first, let last = snapshots.last {
            details.append(first == last ? "snapshot \(first)" : "snapshots \(first) to \(last)")
        }
        if !tags.isEmpty { details.append("tagged \(tags.joined(separator: ", "))") }
        return (table.isEmpty ? "" : "\(table): ") + message
            + (details.isEmpty ? "" : "\n  " + details.joined(separator: " · "))
    }
}

extension Finding.Place {
    fileprivate var json: JSONObject {
        JSONObject([
            ("row_group", .int(Int64(rowGroup))), ("encoding", .int(Int64(encoding ?? 0))),
            ("slab", .int(Int64(slab ?? 0))),
        ])
    }
}
