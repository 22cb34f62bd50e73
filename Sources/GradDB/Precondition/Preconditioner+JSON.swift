// Preconditioners as `gradctl precondition` shows them: format-spec/cli-json.md.

extension PreconditionResult {
    /// What the building says when it is done.
    package func json(_ table: Table) -> JSONObject {
        var object = JSONObject([("snapshot", .int(Int64(snapshot)))])
        document.append(to: &object, table)
        object.append("seconds", .float(seconds))
        object.append("layers", document.layersJSON(table))
        return object
    }
}

extension PreconditionerDocument {
    /// A line of the list.
    package func json(_ table: Table) -> JSONObject {
        var object = JSONObject([("added", .int(Int64(snapshots.first)))])
        append(to: &object, table)
        object.append("layers", layersJSON(table))
        return object
    }

    /// Vectors that it was made of, of all checkpoints together, each counted once for all layers.
    package var rows: Int {
        Dictionary(parts.map { ($0.checkpoint, $0.rows) }, uniquingKeysWith: { first, _ in first })
            .values.reduce(0, +)
    }

    fileprivate func append(to object: inout JSONObject, _ table: Table) {
        object.append("table", .string(table.name))
        object.append("preconditioner", .string(name))
        object.append("rows", .int(Int64(rows)))
        object.append("bytes", .int(Int64(bytes)))
    }

    fileprivate func layersJSON(_ table: Table) -> JSONValue {
        .array(
            parts.map { part in
                let layer = table.layers[Int(part.layer)]
                return .object(
                    JSONObject([
                        ("layer", .string(layer.name)),
                        ("checkpoint", .string(table.checkpointName(part.checkpoint))),
                        ("kind", .string(part.kind.rawValue)), ("dims", .int(Int64(layer.dims))),
                        ("damping", .float(part.damping)),
                        ("rank", part.kind == .woodbury ? .int(Int64(part.rank)) : .null),
                    ]))
            })
    }
}

extension Table {
    /// Those of the newest snapshot, in the order in which they were made.
    package var activePreconditioners: [PreconditionerDocument] {
        preconditioners.filter { $0.snapshots.contains(head.snapshot) }
    }

    /// The name of a checkpoint of any snapshot.
    package func checkpointName(_ number: UInt32) -> String {
        (try? newest)?.checkpoints.first { $0.checkpoint == number }?.name ?? "\(number)"
    }
}
