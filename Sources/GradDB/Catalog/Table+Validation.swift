// Whether the documents of a table fit each other: before anything counts on them.

extension Table {
    /// What the code relies on when it counts: whoever wrote the documents, they are only data.
    func validate() throws {
        func refuse(_ what: String) -> GradDBError {
            .corrupt("the catalog of table '\(document.name)' is inconsistent: \(what)")
        }
        var numbers: Set<UInt32> = []
        for (index, layer) in document.layers.enumerated() {
            // The encodings of a snapshot can only run out where one is removed.
            let changes = [0] + layer.encodings.flatMap(\.snapshots.changes)
            guard layer.number == UInt32(index), (1...TableSchema.maxDims).contains(layer.dims),
                layer.encodings.allSatisfy({
                    $0.number < .max && numbers.insert($0.number).inserted
                }),
                changes.allSatisfy({ !layer.encodings(in: $0).isEmpty })
            else { throw refuse("layer '\(layer.name)'") }
        }
        let bases = Dictionary(
            allSegments.filter { $0.base == nil }.map { ($0.segment, $0) },
            uniquingKeysWith: { first, _ in first })
        let snapshotNumbers = self.snapshotNumbers
        for segment in allSegments {
            guard (1...Int(UInt32.max)).contains(segment.rows),
                (1...Int(UInt32.max)).contains(segment.rowsPerGroup),
                segment.rowGroups
                    == (segment.rows + segment.rowsPerGroup - 1) / segment.rowsPerGroup,
                segment.encodings.allSatisfy({ numbers.contains($0.encoding) })
            else { throw refuse("segment \(segment.segment)") }
            if let base = segment.base {
                guard let base = bases[base], segment.hasRows(of: base) else {
                    throw refuse("segment \(segment.segment) is no companion of its base")
                }
            } else {
                try requireEncodings(of: segment, snapshotNumbers, refuse)
            }
        }
        try validatePreconditioners(refuse)
        try validateRows(refuse)
        guard head.snapshot > 0 else { return }
        let visible = bases.values.count { $0.snapshots.contains(head.snapshot) }
        guard let newest = snapshots.last, newest.snapshot == head.snapshot,
            newest.segments == visible
        else { throw refuse("snapshot \(head.snapshot) lacks segments") }
    }

    /// What is kept of every row number, deleted ones too, must fit the rows that there can be: the columns
    /// reach as far as the numbers do.
    private func validateRows(_ refuse: (String) -> GradDBError) throws {
        for snapshot in snapshots {
            guard snapshot.nextRow <= head.nextRow, snapshot.deleted <= snapshot.nextRow else {
                throw refuse("the rows of snapshot \(snapshot.snapshot)")
            }
        }
        guard head.nextRow > 0 else { return }
        let last = head.nextRow - min(head.nextRow, UInt64(ColumnBuilder.rowsPerBlock))
        let (table, ids) = (document.table, RowRegistry.idColumn)
        var hasColumn = false
        do {
            try store.forEach(
                .fields, prefix: Keys.columnPrefix(table: table, field: ids),
                from: Keys.column(table: table, field: ids, firstRow: last)
            ) { _, _ in
                hasColumn = true
                return false
            }
        } catch let error as GradDBError where error.isDamage {
            // Whoever needs a column is told.
            return
        }
        guard hasColumn else { throw refuse("it has no columns for \(head.nextRow) rows") }
    }

    /// The parts of preconditioners are of layers that there are, and of a size that can be read.
    private func validatePreconditioners(_ refuse: (String) -> GradDBError) throws {
        for preconditioner in preconditioners {
            var seen: Set<[UInt32]> = []
            for (index, part) in preconditioner.parts.enumerated() {
                guard part.part == UInt32(index), Int(part.layer) < layers.count,
                    seen.insert([part.layer, part.checkpoint]).inserted, part.rows > 0,
                    part.damping.isFinite, part.damping >= 0
                else { throw refuse("part \(index) of preconditioner '\(preconditioner.name)'") }
                let dims = layers[Int(part.layer)].dims
                guard part.kind != .dense || dims <= PreconditionerKind.maxDenseDims,
                    (0...(part.kind == .woodbury ? dims : 0)).contains(part.rank),
                    part.bytes == UInt64(part.numberCount(dims: dims)) * 8
                else { throw refuse("part \(index) of preconditioner '\(preconditioner.name)'") }
            }
        }
    }

    /// The blocks of every encoding that a snapshot has are in the segment or in a companion.
    private func requireEncodings(
        of segment: SegmentDocument, _ numbers: [UInt64], _ refuse: (String) -> GradDBError
    ) throws {
        let own = Set(segment.encodings.map(\.encoding))
        for layer in layers {
            for encoding in layer.encodings
            where !own.contains(encoding.number)
                && !hasCompanion(of: segment, holding: encoding)
            {
                // Needed only where there is a snapshot that has both.
                let both = encoding.snapshots.intersection(segment.snapshots)
                guard !(both?.containsAny(of: numbers) ?? false) else {
                    throw refuse(
                        "segment \(segment.segment) lacks encoding \(encoding.number) "
                            + "(\(encoding.codec.rawValue)) of layer '\(layer.name)'")
                }
            }
        }
    }
}

extension SegmentDocument {
    /// Whether its row groups are those of `base`, one to one.
    fileprivate func hasRows(of base: SegmentDocument) -> Bool {
        checkpoint == base.checkpoint && rows == base.rows && rowsPerGroup == base.rowsPerGroup
            && firstRow == base.firstRow && lastRow == base.lastRow
            && snapshots.first >= base.snapshots.first
    }
}
