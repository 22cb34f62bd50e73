// A table to measure with: seeded random rows of one layer, ingested like any others, in a database of
// its own in a temporary directory, which goes when the table does.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A table of random rows, and queries for it.
package final class BenchTable {
    package static let name = "rows"
    package static let checkpoint = "random"

    package let codec: CodecKind
    package let rows: Int
    package let dims: Int
    /// Of the database.
    package let path: String
    /// Stored bytes of one row's vector.
    package let rowBytes: Int
    private let queries: Windows

    package var bytes: Int { rows * rowBytes }

    /// - Parameter directory: where its database's directory is made.
    /// - Throws: `.io` where there is no room, `.interrupted`.
    package init(
        _ codec: CodecKind, rows: Int, dims: Int, in directory: String, threads: Int,
        cancellation: Cancellation
    ) throws {
        self.codec = codec
        self.rows = rows
        self.dims = dims
        let kernels = try KernelSet.chosen()
        rowBytes = codec.codec(dims: dims, seed: 1, kernels: kernels).rowBytes
        path = "\(directory)/\(codec.rawValue)"
        queries = Windows("queries", rows: Self.mostQueries, dims: dims, seed: 2)
        do {
            try Database.create(at: path)
            let writer = try DatabaseWriter(path: path)
            try writer.createTable(
                TableSchema(
                    name: Self.name, layers: [.init(name: "layer", dims: dims, codec: codec)]))
            var options = IngestOptions(checkpoint: Self.checkpoint)
            options.threads = threads
            _ = try writer.ingest(
                into: Self.name,
                inputs: InputSet([Windows("random rows", rows: rows, dims: dims, seed: 1)]),
                metadata: nil, options: options, cancellation: cancellation)
        } catch {
            try? FileManager.default.removeItem(atPath: path)
            throw error
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    // MARK: asking

    static let mostQueries = 4096

    /// Opened anew: nothing of it has been verified.
    package func database() throws -> Database { try Database(path: path) }

    /// The first of its queries, in memory that this table keeps.
    package var query: TensorBatch {
        TensorBatch(
            name: "random query", ["": .init(.f32, rows: 1, dims: dims, start: queries.start)])
    }

    /// A scan of all rows for the first `count` queries.
    func scan(
        _ database: Database, queries count: Int, threads: Int, cancellation: Cancellation
    ) throws -> Scan {
        let view = try database.table(Self.name).newest
        guard let layer = view.table.layers.first, let checkpoint = view.newestCheckpoint else {
            throw GradDBError(.failed, "the table that is measured is not there")
        }
        let encoding = try view.finestEncoding(of: layer)
        let codec = try view.table.codec(layer, encoding.codec, try KernelSet.chosen())
        let column = ScanColumn(layer, allOf: encoding, codec)
        let encoded = try Parallel.map(count, threads: threads) { [queries] number in
            try cancellation.check()
            do {
                return [try codec.encodeQuery(queries.row(number))]
            } catch let failure as EncodingFailure {
                throw GradDBError(.failed, "a random query cannot be encoded: \(failure.reason)")
            }
        }
        return try Scan(
            ScanRequest(
                view: view, checkpoint: checkpoint, columns: [column], queries: encoded,
                filter: nil, threads: threads, cancellation: cancellation))
    }
}

/// Random rows in little memory: each is the same numbers, from another one on.
private struct Windows: VectorSource, @unchecked Sendable {  // constant after init
    private final class Numbers {
        let start: UnsafeMutablePointer<Float>
        let floats: UnsafeBufferPointer<Float>

        init(count: Int, seed: UInt64) {
            var random = SeededNumbers(seed: seed)
            start = .allocate(capacity: count)
            for index in 0..<count { (start + index).initialize(to: random.gaussian()) }
            floats = UnsafeBufferPointer(start: start, count: count)
        }

        deinit { start.deallocate() }
    }

    let name: String
    let tensors: [String: TensorInfo]
    let projectors: [String: ProjectorDocument] = [:]
    private let dims: Int
    private let numbers: Numbers

    init(_ name: String, rows: Int, dims: Int, seed: UInt64) {
        self.name = name
        self.dims = dims
        numbers = Numbers(count: dims + rows - 1, seed: seed)
        tensors = [
            "layer": TensorInfo(
                dtype: .f32, shape: [rows, dims], byteOffset: 0, byteCount: rows * dims * 4)
        ]
    }

    var byteCount: Int { tensors.values.reduce(0) { $0 + $1.byteCount } }

    func read(
        tensor: String, rows: Range<Int>, into buffer: UnsafeMutableRawBufferPointer
    ) throws(GradDBError) {
        for (index, row) in rows.enumerated() {
            let start = index * dims * 4
            UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + dims * 4])
                .copyMemory(
                    from: UnsafeRawBufferPointer(
                        UnsafeBufferPointer(rebasing: numbers.floats[row..<row + dims])))
        }
    }

    func row(_ number: Int) -> [Float] { Array(numbers.floats[number..<number + dims]) }

    var start: UnsafeRawPointer { UnsafeRawPointer(numbers.start) }
}
