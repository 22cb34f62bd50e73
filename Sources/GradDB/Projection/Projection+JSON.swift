// Projectors and projections as JSON: format-spec/projectors.md, cli-json.md.

extension ProjectorDocument {
    /// The object of format-spec/projectors.md.
    package var json: JSONObject {
        var object = JSONObject([
            ("kind", .string(kind.rawValue)), ("version", .int(Int64(version))),
            ("dims", .int(Int64(dims))), ("seed", .string(seedText)),
            ("normalise", .string(normalise.rawValue)),
        ])
        if let rounds { object.append("rounds", .int(Int64(rounds))) }
        if let rank { object.append("rank", Self.array(rank)) }
        if let match { object.append("match", .array(match.map { .string($0) })) }
        if let tensors {
            let objects = tensors.map {
                JSONValue.object(
                    JSONObject([("name", .string($0.name)), ("shape", Self.array($0.shape))]))
            }
            object.append("tensors", .array(objects))
        }
        return object
    }

    private static func array(_ numbers: [Int]) -> JSONValue {
        .array(numbers.map { .int(Int64($0)) })
    }
}

extension ProjectionResult {
    /// What `project` says when it is done.
    package func json(output: String) -> JSONObject {
        var object = JSONObject([
            ("output", .string(output)), ("rows", .int(Int64(rows))),
            ("elements", .int(Int64(elements))), ("bytes", .int(Int64(bytes))),
            ("seconds", .float(seconds)),
            ("projection_seconds", projectionSeconds.map { .float($0) } ?? .null),
            ("gb_per_s", .float(Double(bytes) / max(seconds, 1e-9) / 1e9)),
        ])
        if projectors.count == 1, let only = projectors.first?.projector {
            object.append("projector", .object(only.json))
            object.append("hash", .string(only.hash))
        }
        let layers = projectors.map { layer, projector in
            JSONValue.object(
                JSONObject([
                    ("name", .string(layer)), ("dims", .int(Int64(projector.dims))),
                    ("projector", .object(projector.json)), ("hash", .string(projector.hash)),
                ]))
        }
        object.append("layers", .array(layers))
        return object
    }
}
