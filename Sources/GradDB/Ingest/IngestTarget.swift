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
                snapshots: SnapshotRanges(from: table.head.snapshot + 1))
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
        if let live = try liveRows { rows.formIntersection(live) }
        return rows
    }
}

extension NextSnapshot {
    /// Takes in segments of rows that `registry` numbered, with what layers have taken over of
    /// projectors.
    ///
    /// - Parameter sums: of the segments' vectors, by encoding.
    package mutating func add(
        _ segments: [SegmentDocument], sums: [UInt32: UInt64], at checkpoint: CheckpointDocument,
        _ registry: RowRegistry, _ agreement: ProjectorAgreement
    ) {
        if agreement.hasAdopted { schema.layers = agreement.layers }
        head.nextRow = registry.nextRow
        head.idType = registry.idType
        if checkpoint.checkpoint == head.nextCheckpoint {
            head.nextCheckpoint += 1
            checkpoints.append(checkpoint)
        }
        self.checkpoint = checkpoint.checkpoint
        self.segments += segments
        self.sums.records &+= registry.recordSum
        self.sums.encodings.merge(sums, uniquingKeysWith: &+)
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
