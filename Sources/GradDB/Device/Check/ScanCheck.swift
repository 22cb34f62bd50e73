// Random scans of a small table with all codecs, on a device and on the processor.

import Synchronization

struct ScanCheck {
    private static let rows = 600
    private static let layers: [(name: String, dims: Int, codec: CodecKind)] = [
        ("a", 700, .int8), ("b", 9000, .int8), ("c", 515, .int4), ("d", 40_000, .bit),
        ("e", 33, .f32), ("f", 2100, .f16), ("g", 1031, .bf16),
    ]

    private let view: TableView
    private let checkpoint: CheckpointDocument
    private let kernels: KernelSet
    private let threads: Int

    init(directory: String, seed: UInt64, threads: Int) throws {
        self.threads = threads
        kernels = try KernelSet.chosen()
        let path = directory + "/db"
        try Database.create(at: path)
        try Self.fill(path, seed)
        view = try Database(path: path).table("t").newest
        guard let checkpoint = view.newestCheckpoint else {
            throw GradDBError(.failed, "the table of the check is empty")
        }
        self.checkpoint = checkpoint
    }

    private static func fill(_ path: String, _ seed: UInt64) throws {
        var schema = TableSchema(
            name: "t", layers: layers.map { .init(name: $0.name, dims: $0.dims, codec: $0.codec) })
        schema.rowsPerGroup = 64
        let writer = try DatabaseWriter(path: path)
        _ = try writer.createTable(schema)
        var random = SeededNumbers(seed: seed)
        let values = layers.map { layer in
            var values = random.gaussians(rows * layer.dims)
            // A row of zeros, and equal ones.
            for i in 0..<layer.dims { values[200 * layer.dims + i] = 0 }
            for row in 301..<340 {
                for i in 0..<layer.dims {
                    values[row * layer.dims + i] = values[300 * layer.dims + i]
                }
            }
            return values.withUnsafeBytes { bytes in
                let copy = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: bytes.count, alignment: 64)
                copy.copyMemory(from: bytes)
                return copy
            }
        }
        defer { for bytes in values { bytes.deallocate() } }
        var tensors: [String: TensorBatch.Tensor] = [:]
        for (layer, bytes) in zip(layers, values) {
            guard let start = bytes.baseAddress else { continue }
            tensors[layer.name] = TensorBatch.Tensor(
                .f32, rows: rows, dims: layer.dims, start: UnsafeRawPointer(start))
        }
        _ = try writer.ingest(
            into: "t", inputs: InputSet([TensorBatch(name: "random rows", tensors)]), metadata: nil,
            options: IngestOptions(checkpoint: "c"))
    }

    /// - Returns: scores that differ, of how many.
    func run(
        on device: any ScanDevice, _ cancellation: Cancellation, _ random: inout SeededNumbers
    ) throws -> (differing: Int, of: Int) {
        var request = try request(cancellation, &random)
        let here = try scores(request)
        request.device = DeviceUse(device, isRequired: true)
        if Bool.random(using: &random) {
            let there = try scores(request)
            let differing = here.reduce(0) { count, row in
                let other = there[row.key] ?? []
                guard other.count == row.value.count else { return count + row.value.count }
                return count + zip(row.value, other).count { $0 != $1 }
            }
            let surplus = there.keys.count { here[$0] == nil }
            return (differing + surplus, here.values.reduce(0) { $0 + $1.count })
        }
        return try compareSelection(request, here, &random)
    }

    private func request(
        _ cancellation: Cancellation, _ random: inout SeededNumbers
    ) throws -> ScanRequest {
        var filter: RowSet?
        if Bool.random(using: &random) {
            var rows = RowSet(rowCount: UInt64(Self.rows))
            let share = Int.random(in: 1...4, using: &random)
            for row in 0..<UInt64(Self.rows) where Int.random(in: 0..<4, using: &random) < share {
                rows.insert(row)
            }
            filter = rows
        }
        var layers = view.table.layers.filter { _ in Bool.random(using: &random) }
        if layers.isEmpty { layers = [view.table.layers[0]] }
        let columns = try layers.map { layer in
            let encoding = try view.finestEncoding(of: layer)
            let codec = try view.table.codec(layer, encoding.codec, kernels)
            return ScanColumn(layer, allOf: encoding, codec)
        }
        let count = [1, 1, 2, 5, 64, 65, 130].randomElement(using: &random) ?? 1
        var queries: [[EncodedQuery]] = []
        for _ in 0..<count {
            queries.append(
                try layers.map { layer in
                    try view.table.codec(layer, try view.finestEncoding(of: layer).codec, kernels)
                        .encodeQuery(random.gaussians(layer.dims))
                })
        }
        return ScanRequest(
            view: view, checkpoint: checkpoint, columns: columns, queries: queries, filter: filter,
            threads: threads, cancellation: cancellation)
    }

    /// By row: the bits of its scores, and of its squared norm.
    private func scores(_ request: ScanRequest) throws -> [UInt64: [UInt64]] {
        let found = Mutex<[UInt64: [UInt64]]>([:])
        let queries = request.queries.count
        _ = try Scan(request).run { _, scores in
            found.withLock { found in
                for (index, row) in scores.rows.enumerated() where scores.mask?[index] ?? true {
                    found[row] =
                        (0..<queries).map {
                            scores.dots[$0 * scores.rows.count + index].bitPattern
                        } + [scores.squaredNorms[index].bitPattern]
                }
            }
        }
        return found.withLock { $0 }
    }

    /// The best rows must be among those that the device selects, with their scores.
    private func compareSelection(
        _ request: ScanRequest, _ all: [UInt64: [UInt64]], _ random: inout SeededNumbers
    ) throws -> (differing: Int, of: Int) {
        let top = Int.random(in: 1...20, using: &random)
        let bottom = Int.random(in: 0...100, using: &random)
        let selected = Mutex<[Int: [UInt64: UInt64]]>([:])
        let keep: @Sendable ([SelectedScore]) -> Void = { scores in
            selected.withLock { selected in
                for score in scores {
                    selected[score.query, default: [:]][score.row] = score.score.bitPattern
                }
            }
        }
        _ = try Scan(request).run(
            ScanConsumer(
                groups: { _, _ in },
                selection: ScanSelection(top: top, bottom: bottom, cosineNorms: nil),
                selected: { keep($1) }))
        var result = (differing: 0, of: 0)
        for query in request.queries.indices {
            let found = selected.withLock { $0[query] ?? [:] }
            let order = all.sorted {
                Double(bitPattern: $0.value[query]) > Double(bitPattern: $1.value[query])
            }
            for (row, scores) in order.prefix(top) + order.suffix(bottom) {
                result.of += 1
                if found[row] != scores[query] { result.differing += 1 }
            }
        }
        return result
    }
}
