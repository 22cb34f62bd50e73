// Stores a layer in another codec: every row is decoded from the finest encoding and encoded again,
// row group by row group, into companions of the segments there are. Older snapshots keep what they
// have. The steps are those of an ingest, in format-spec/commit.md:
//
//   reserve -> read, decode, encode, write table files -> attach -> publish -> clean up

extension DatabaseWriter {
    /// Commits a snapshot in which the layer is stored in the codec, or changes nothing.
    ///
    /// - Parameter progress: called now and then, from the calling thread.
    /// - Throws: `.usage` for an unknown layer, a codec that the layer has already or is too short
    ///   for; `.badInput` for a row that the codec cannot hold; `.interrupted`, `.corrupt`, `.io`.
    package func recode(
        _ tableName: String, options: RecodeOptions, cancellation: Cancellation = Cancellation(),
        progress: (RecodeProgress) -> Void = { _ in }
    ) throws -> RecodeResult {
        let started = ContinuousClock.now
        let recode = try Recode(
            table: try self.table(tableName), options: options, cancellation: cancellation)
        var result = try withCommit(
            to: recode.table, segments: recode.segmentCount, cancellation: cancellation
        ) { commit in try recode.run(commit, progress) }
        result.seconds = (ContinuousClock.now - started).seconds
        return result
    }
}

private struct Recode {
    let table: Table
    private let view: TableView
    private let options: RecodeOptions
    private let cancellation: Cancellation
    private let kernels: KernelSet
    private let layer: Layer
    /// The finest encoding until now.
    private let source: LayerEncoding
    /// The encoding to write; nil where the layer has the codec, and others only go.
    private let added: LayerEncoding?
    /// Numbers of the encodings that the new snapshot lacks.
    private let removed: Set<UInt32>

    init(table: Table, options: RecodeOptions, cancellation: Cancellation) throws {
        self.table = table
        self.options = options
        self.cancellation = cancellation
        view = try table.newest
        kernels = try KernelSet.chosen()
        layer = try table.layer(toRecode: options.layer)
        source = try view.finestEncoding(of: layer)
        if let tag = options.tag { try TableSchema.validate(name: tag, of: "tag") }
        try options.codec.requireDims(layer.dims, layer: layer.name)
        let active = view.encodings(of: layer)
        let others = active.filter { $0.codec != options.codec }
        removed = options.beside ? [] : Set(others.map(\.number))
        if others.count == active.count {
            added = LayerEncoding(
                number: table.document.nextEncoding, codec: options.codec,
                snapshots: SnapshotRanges(from: table.head.snapshot + 1))
        } else {
            added = nil
            guard !removed.isEmpty else {
                let rest = others.map(\.codec.rawValue).joined(separator: ", ")
                throw GradDBError.usage(
                    "layer '\(layer.name)' of table '\(table.name)' has codec "
                        + "\(options.codec.rawValue) already"
                        + (rest.isEmpty ? "" : "; without --beside, the others (\(rest)) go"))
            }
        }
    }

    /// One companion for each segment.
    var segmentCount: Int { added == nil ? 0 : view.segments.count }

    func run(_ commit: Commit, _ progress: (RecodeProgress) -> Void) throws -> RecodeResult {
        let (companions, sum) =
            try added.map { try writeCompanions($0, commit, progress) } ?? ([], 0)
        try cancellation.check()
        try commit.attach()
        let bytes = companions.reduce(0) { $0 + ($1.encodings.first?.bytes ?? 0) }
        let codecs = try publish(companions, sum: sum, commit)
        return RecodeResult(
            snapshot: table.head.snapshot + 1, layer: layer.name,
            source: added == nil ? nil : source.codec, codecs: codecs,
            rows: companions.reduce(0) { $0 + $1.rows }, bytes: bytes, seconds: 0)
    }

    // MARK: write

    /// Also returns the sum of the content of rows that are there.
    private func writeCompanions(
        _ encoding: LayerEncoding, _ commit: Commit, _ progress: (RecodeProgress) -> Void
    ) throws -> ([SegmentDocument], sum: UInt64) {
        let codec = try table.codec(layer, source.codec, kernels)
        let target = TargetEncoding(
            encoding, layer: Int(layer.number),
            codec: try table.codec(layer, encoding.codec, kernels))
        let stored = StoredRowGroup(view, source, codec: codec, kernels: kernels)
        // Only one: where the new codec is finer, a group may be many times as large as the old.
        let buffer = EncodedRowGroup()
        var rows = 0
        let totalRows = view.segments.reduce(0) { $0 + $1.rows }
        let content = try ViewContent(view, kernels)
        var sum: UInt64 = 0
        let companions = try zip(commit.segments, view.segments).map { number, base in
            var bytes: UInt64 = 0
            for group in 0..<base.rowGroups {
                try cancellation.check()
                try stored.load(base, group: group, threads: options.threads)
                try commit.waitForWriting()
                buffer.prepare(
                    table: table.document.table, segment: number, rowGroup: UInt32(group),
                    rows: base.rows(ofGroup: group), encodings: [target])
                try encode(stored, codec, base, group: group, target, into: buffer)
                sum &+=
                    try content.sums(
                        of: buffer, base, group: group, threads: options.threads)[encoding.number]
                    ?? 0
                try commit.append(buffer)
                rows += base.rows(ofGroup: group)
                bytes += buffer.bytesOfEncodings.values.reduce(0, +)
                progress(
                    RecodeProgress(
                        rows: rows, bytes: UInt64(rows * codec.rowBytes),
                        totalBytes: UInt64(totalRows * codec.rowBytes)))
            }
            var companion = base
            companion.segment = number
            companion.base = base.segment
            companion.encodings = [.init(encoding: encoding.number, bytes: bytes)]
            companion.snapshots = encoding.snapshots
            companion.norms = nil
            return companion
        }
        return (companions, sum)
    }

    /// A worker takes about this many bytes of decoded rows at a time.
    private static let tileBytes = 1 << 20

    private func encode(
        _ stored: StoredRowGroup, _ codec: any Codec, _ base: SegmentDocument, group: Int,
        _ target: TargetEncoding, into buffer: EncodedRowGroup
    ) throws {
        let rows = base.rows(ofGroup: group)
        let rowsPerTile = max(1, Self.tileBytes / (layer.dims * MemoryLayout<Float>.size))
        let tiles = (rows + rowsPerTile - 1) / rowsPerTile
        try Parallel.forEach(tiles, threads: options.threads) { tile, _ in
            try cancellation.check()
            let encoder = RowEncoder([target], at: [0], dims: layer.dims)
            for index in tile * rowsPerTile..<min(rows, (tile + 1) * rowsPerTile) {
                let row = stored.row(index)
                codec.decode(row.bytes, row.statistics, into: encoder.row)
                let bad = kernels.table.find_nonfinite(encoder.row.baseAddress, layer.dims)
                guard bad == layer.dims else {
                    throw try refusal(
                        base, group, index,
                        "the value at dim \(bad) is too large to be decoded; use codec "
                            + source.codec.rawValue)
                }
                do throws(EncodingFailure) {
                    try encoder.encode(into: buffer, row: index)
                } catch {
                    throw try refusal(base, group, index, error.reason)
                }
            }
        }
        try buffer.seal(kernels: kernels, threads: options.threads)
    }

    private func refusal(
        _ base: SegmentDocument, _ group: Int, _ index: Int, _ reason: String
    ) throws -> GradDBError {
        let row = try view.rowMap(base, group: group)[index]
        let checkpoint = view.checkpoints.first { $0.checkpoint == base.checkpoint }
        return .badInput(
            "layer '\(layer.name)', id \(try view.record(row: row).id) at checkpoint "
                + "'\(checkpoint?.name ?? "")': \(reason)")
    }

    // MARK: publish

    /// Returns the layer's codecs in the new snapshot.
    private func publish(
        _ companions: [SegmentDocument], sum: UInt64, _ commit: Commit
    ) throws -> [CodecKind] {
        var next = try NextSnapshot(of: table, .recode, message: options.message, tag: options.tag)
        var changed = layer
        for index in changed.encodings.indices
        where removed.contains(changed.encodings[index].number) {
            changed.encodings[index].snapshots.set(false, from: next.number)
        }
        if let added {
            changed.encodings.append(added)
            next.sums.encodings[added.number] = sum
        }
        next.schema.layers[Int(layer.number)] = changed
        next.segments = companions
        try commit.publish(next)
        return changed.encodings(in: next.number).map(\.codec)
    }
}

extension Table {
    fileprivate func layer(toRecode name: String?) throws -> Layer {
        let known = layers.prefix(12).map(\.name).joined(separator: ", ")
        let names = known + (layers.count > 12 ? ", …" : "")
        guard let name else {
            guard let only = layers.first, layers.count == 1 else {
                throw GradDBError.usage(
                    "table '\(self.name)' has \(layers.count) layers; choose one with --layer: "
                        + names)
            }
            return only
        }
        guard let layer = layers.first(where: { $0.name == name }) else {
            throw GradDBError.usage(
                "table '\(self.name)' has no layer '\(name)'; it has: \(names)")
        }
        return layer
    }
}
