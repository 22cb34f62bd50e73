// What an ingest writes into: the encodings, the size of row groups, the checkpoint and what it has.

extension TableView {
    /// All encodings of the snapshot, in the order of their blocks.
    package func targetEncodings(_ kernels: KernelSet) throws -> [TargetEncoding] {
        try table.layers.enumerated().flatMap { index, layer in
            try encodings(of: layer).map {
                TargetEncoding($0, layer: index, codec: try table.codec(layer, $0.codec, kernels))
            }
        }.sorted { $0.number < $1.number }
    }

    /// The existing checkpoint of that name, or a new one, not yet stored.
    ///
    /// - Throws: `.usage` for a name that none can have, and for another step or weight than an
    ///   existing one's.
    package func checkpoint(
        toAddTo name: String, step: Int64?, weight: Double?
    ) throws -> CheckpointDocument {
        guard let known = checkpoint(named: name) else {
            try TableSchema.validate(checkpoint: name)
            return CheckpointDocument(
                checkpoint: table.head.nextCheckpoint, name: name, step: step, weight: weight,
                added: table.head.snapshot + 1)
        }
        func refuse(_ what: String, _ old: String, _ new: String) -> GradDBError {
            .usage(
                "checkpoint '\(known.name)' has \(what) \(old), not \(new); leave the option out, "
                    + "or choose another checkpoint name")
        }
        if let step, step != known.step {
            throw refuse("step", known.step.map { "\($0)" } ?? "unset", "\(step)")
        }
        if let weight, weight != known.weight {
            throw refuse("weight", known.weight.map { "\($0)" } ?? "unset", "\(weight)")
        }
        return known
    }

    /// The rows that have vectors at a checkpoint.
    package func rows(of checkpoint: CheckpointDocument) throws -> RowSet {
        var rows = RowSet()
        for segment in segments(of: checkpoint) {
            for group in 0..<segment.rowGroups {
                for row in try rowMap(segment, group: group) { rows.insert(row) }
            }
        }
        return rows
    }
}

extension Commit {
    /// Publishes segments of rows that `registry` numbered, as the next snapshot, with what layers
    /// have taken over of projectors. Returns the snapshot's number.
    package func publish(
        _ segments: [SegmentDocument], at checkpoint: CheckpointDocument, _ registry: RowRegistry,
        _ agreement: ProjectorAgreement, message: String, tag: String?
    ) throws -> UInt64 {
        var head = table.head
        if agreement.hasAdopted {
            var document = table.document
            document.layers = agreement.layers
            try batch.put(Catalog.Key.table(document.name), document: document)
        }
        head.snapshot += 1
        head.nextRow = registry.nextRow
        head.idType = registry.idType
        if checkpoint.checkpoint == head.nextCheckpoint {
            head.nextCheckpoint += 1
            try batch.put(
                Catalog.Key.checkpoint(table.document.table, checkpoint.checkpoint),
                document: checkpoint)
        }
        try publish(
            head: head, segments: segments, checkpoint: checkpoint.checkpoint,
            bytes: try table.bytes + segments.reduce(0) { $0 + $1.bytes }, message: message,
            tag: tag)
        return head.snapshot
    }
}

extension SegmentDocument {
    /// Of its blocks, in all encodings.
    package var bytes: UInt64 { encodings.reduce(0) { $0 + $1.bytes } }
}

extension Table {
    /// Fewer rows than the schema's where they are wide: a group stays under 64 MiB.
    package func rowsPerGroup(_ encodings: [TargetEncoding]) -> Int {
        let rowBytes = encodings.reduce(0) { $0 + $1.codec.rowBytes }
        return max(1, min(rowsPerGroup, TableSchema.maxRowGroupBytes / max(1, rowBytes)))
    }
}

extension TableSchema {
    /// A checkpoint's name may be anything that fits on a line.
    fileprivate static func validate(checkpoint name: String) throws {
        let isPrintable = name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
        guard !name.isEmpty, name.utf8.count <= 256, isPrintable else {
            throw GradDBError.usage(
                "'\(name)' cannot be the name of a checkpoint: 1 to 256 printable characters")
        }
    }
}
