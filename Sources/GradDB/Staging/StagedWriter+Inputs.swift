// Files as batches: inputs and the metadata beside them, piece by piece, into one rank.

extension StagedWriter {
    /// Vectors of about this many bytes are pushed at a time.
    private static let batchBytes = 32 << 20
    private static let batchRows = 4096

    /// Where large messages of a stream may be kept.
    package var spoolDirectory: String { rankDirectory }

    /// Appends all rows of the inputs, the i-th with the i-th row of the metadata. What was appended
    /// before something is refused stays appended.
    ///
    /// - Returns: tensors that no layer is named after, which were left out.
    /// - Throws: what `append` throws; `.badInput` also where metadata and vectors are not of the
    ///   same number; `.interrupted`.
    package func append(
        _ inputs: InputSet, metadata: MetadataReader, cancellation: Cancellation,
        progress: (IngestProgress) -> Void = { _ in }
    ) throws -> Set<String> {
        let layers = Set(table.layers.map(\.name))
        var unused: Set<String> = []
        var done = IngestProgress(rows: 0, inputBytes: 0)
        while let source = try inputs.next() {
            try source.check(against: table.document)
            unused.formUnion(source.tensors.keys.filter { !layers.contains($0) })
            let count = try source.rowCount(of: table.layers.map(\.name))
            let rowBytes = try table.layers.reduce(0) {
                $0 + (try source.matrix($1.name, allowVector: false).rowBytes)
            }
            let most = max(1, min(Self.batchRows, Self.batchBytes / max(1, rowBytes)))
            for start in stride(from: 0, to: count, by: most) {
                try cancellation.check()
                let rows = start..<min(count, start + most)
                let described = try rows.map { row in
                    try metadata.row(
                        after: done.rows + row - start,
                        for: "\(source.name) goes on with row \(row)")
                }
                try append(
                    source, rows: rows, ids: described.map(\.id), fields: described.map(\.values))
                done.rows += rows.count
                done.inputBytes += UInt64(rows.count * rowBytes)
                progress(done)
            }
        }
        // An interruption can surface as the end of standard input.
        try cancellation.check()
        try metadata.expectEnd(after: done.rows)
        return unused
    }
}
