// Scans of real databases against what format-spec/codecs.md defines a score to be, computed in
// plain double arithmetic from the stored rows.

import GradDB
import Synchronization
import Testing

@Suite struct ScanTests {
    /// Scores by row number, as a scan gives them.
    private func scan(
        _ view: TableView, query: [[EncodedQuery]], filter: RowSet? = nil, threads: Int = 2
    ) throws -> [UInt64: [Double]] {
        let checkpoint = try #require(view.newestCheckpoint)
        let scan = try Scan(
            ScanRequest(
                view: view, checkpoint: checkpoint, columns: try exactColumns(view), queries: query,
                filter: filter, threads: threads, cancellation: Cancellation()))
        let collected = Collected()
        let queries = query.count
        _ = try scan.run { _, scores in
            for (index, row) in scores.rows.enumerated() where scores.mask?[index] ?? true {
                collected.set(
                    row, (0..<queries).map { scores.dots[$0 * scores.rows.count + index] })
            }
        }
        return collected.scores
    }

    /// Everything that the table's scores are defined by.
    private func exactColumns(_ view: TableView) throws -> [ScanColumn] {
        let kernels = try KernelSet.chosen()
        return try view.table.layers.map { layer in
            let encoding = try view.finestEncoding(of: layer)
            let codec = try view.table.codec(layer, encoding.codec, kernels)
            return ScanColumn(
                layer: layer, encoding: encoding, slabs: codec.geometry.slabCount,
                target: encoding.codec)
        }
    }

    private func finestCodec(_ view: TableView, _ layer: Layer) throws -> any Codec {
        let kind = try view.finestEncoding(of: layer).codec
        return try view.table.codec(layer, kind, try KernelSet.chosen())
    }

    /// The specified score of a stored row: integers exactly, floats in sixteen lanes per slab.
    private func specifiedScore(
        _ view: TableView, _ query: [EncodedQuery], row: UInt64
    ) throws -> Double {
        let checkpoint = try #require(view.newestCheckpoint)
        let place = try #require(try view.location(of: row, in: checkpoint))
        var total = 0.0
        for (layer, query) in zip(view.table.layers, query) {
            let encoding = try view.finestEncoding(of: layer)
            let kind = encoding.codec
            let stored = try view.vector(layer, encoding, at: place)
            let elements = query.elements.contents
            switch kind {
            case .int8, .int4, .bit:
                var sum: Int64 = 0
                for i in 0..<layer.dims {
                    sum += level(stored.bytes, i, kind) * element(elements, i, layer, kind)
                }
                total += Double(sum) * (Double(stored.statistics.scale) * Double(query.scale))
            case .f32, .f16, .bf16:
                total += laneScore(stored.bytes, elements, layer, kind)
            }
        }
        return total
    }

    /// The integer that stands for element i of a stored row.
    private func level(_ row: [UInt8], _ i: Int, _ codec: CodecKind) -> Int64 {
        switch codec {
        case .int4: 2 * Int64(row[i / 2] >> UInt8(i % 2 * 4) & 15) - 15
        case .bit: 2 * Int64(row[i / 8] >> UInt8(i % 8) & 1) - 1
        default: Int64(Int8(bitPattern: row[i]))
        }
    }

    /// Element i of a query, which int4 keeps in halves and bit in planes of each slab.
    private func element(
        _ query: [UInt8], _ i: Int, _ layer: Layer, _ kind: CodecKind
    ) -> Int64 {
        switch kind {
        case .int4:
            return Int64(Int8(bitPattern: query[i / 2 + i % 2 * (query.count / 2)]))
        case .bit:
            let first = i / 32768 * 32768
            let planeBytes = (min(32768, layer.dims - first) + 7) / 8
            let start = first / 8 * 6 + (i - first) / 8
            let bits = (0..<6).reduce(0) {
                $0 | Int(query[start + $1 * planeBytes] >> UInt8(i % 8) & 1) << $1
            }
            return Int64(bits < 32 ? bits : bits - 64)
        default:
            return Int64(Int8(bitPattern: query[i]))
        }
    }

    private func laneScore(
        _ row: [UInt8], _ query: [UInt8], _ layer: Layer, _ kind: CodecKind
    ) -> Double {
        let elementBytes = kind == .f32 ? 4 : 2
        let perSlab = 4096 / elementBytes
        func element(_ i: Int) -> Double {
            row.withUnsafeBytes {
                switch kind {
                case .f32: Double($0.loadUnaligned(fromByteOffset: i * 4, as: Float.self))
                case .f16: Double($0.loadUnaligned(fromByteOffset: i * 2, as: Float16.self))
                default:
                    Double(
                        Float(
                            bitPattern: UInt32(
                                $0.loadUnaligned(fromByteOffset: i * 2, as: UInt16.self)) << 16))
                }
            }
        }
        func weight(_ i: Int) -> Double {
            query.withUnsafeBytes {
                Double($0.loadUnaligned(fromByteOffset: i * 4, as: Float.self))
            }
        }
        var total = 0.0
        var start = 0
        while start < layer.dims {
            var lanes = [Double](repeating: 0, count: 16)
            for i in start..<min(start + perSlab, layer.dims) {
                lanes[(i - start) % 16] += element(i) * weight(i)
            }
            for width in [8, 4, 2, 1] { for j in 0..<width { lanes[j] += lanes[j + width] } }
            total += lanes[0]
            start += perSlab
        }
        return total
    }

    private final class Collected: Sendable {
        private let stored = Mutex<[UInt64: [Double]]>([:])

        func set(_ row: UInt64, _ scores: [Double]) { stored.withLock { $0[row] = scores } }
        var scores: [UInt64: [Double]] { stored.withLock { $0 } }
    }

    struct Shape: CustomTestStringConvertible, Sendable {
        var codec: CodecKind
        var dims: Int
        var rows: Int
        var rowGroup: Int
        var testDescription: String { "\(codec) \(dims) dims, \(rows) rows by \(rowGroup)" }
    }

    static let shapes: [Shape] = CodecKind.allCases.flatMap { codec in
        [
            Shape(codec: codec, dims: max(7, codec.minDims), rows: 50, rowGroup: 1024),
            Shape(codec: codec, dims: 64, rows: 33, rowGroup: 5),
            Shape(codec: codec, dims: 256, rows: 1, rowGroup: 1),
            Shape(codec: codec, dims: 4097, rows: 21, rowGroup: 8),
            Shape(codec: codec, dims: 20000, rows: 6, rowGroup: 4),
            Shape(codec: codec, dims: 32781, rows: 7, rowGroup: 4),
        ]
    }

    @Test(arguments: shapes) func scoresAreThoseOfTheSpecification(shape: Shape) throws {
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t", layers: [.init(name: "grad", dims: shape.dims, codec: shape.codec)])
        schema.rowsPerGroup = shape.rowGroup
        try database.create(schema)
        var random = SeededRandom(seed: UInt64(shape.dims))
        var rows = (0..<shape.rows).map { _ in random.vector(shape.dims) }
        if rows.count > 5 {
            rows[3] = rows[1]  // a tie
            rows[4] = [Float](repeating: 0, count: shape.dims)
        }
        try database.ingest("t", ["grad": rows])
        let view = try database.table("t").newest
        let codec = try finestCodec(view, view.table.layers[0])
        let queries = try (0..<3).map { _ in [try codec.encodeQuery(random.vector(shape.dims))] }
        let one = try scan(view, query: queries, threads: 1)
        let two = try scan(view, query: queries, threads: 2)
        #expect(one.count == shape.rows)
        #expect(one == two)
        for row in 0..<UInt64(shape.rows) {
            for (index, query) in queries.enumerated() {
                #expect(one[row]?[index] == (try specifiedScore(view, query, row: row)))
            }
        }
        if rows.count > 5 { #expect(one[3] == one[1]) }
    }

    @Test(arguments: CodecKind.allCases, [2, 5, 40])
    func aBatchScoresAsItsQueriesDoOneByOne(codec kind: CodecKind, queryCount: Int) throws {
        let dims = 4500
        let database = try TestDatabase()
        var schema = TableSchema(
            name: "t", layers: [.init(name: "grad", dims: dims, codec: kind)])
        schema.rowsPerGroup = 90
        try database.create(schema)
        var random = SeededRandom(seed: UInt64(queryCount))
        try database.ingest("t", ["grad": (0..<130).map { _ in random.vector(dims) }])
        let view = try database.table("t").newest
        let codec = try finestCodec(view, view.table.layers[0])
        let queries = try (0..<queryCount).map { _ in [try codec.encodeQuery(random.vector(dims))] }
        // With gaps of chunks that are left out.
        var filter = RowSet(rowCount: view.rowCount)
        for row in 0..<UInt64(130) where row < 30 || row % 7 == 0 { filter.insert(row) }
        for filter in [nil, filter] {
            let together = try scan(view, query: queries, filter: filter)
            #expect(together.count == (filter?.count ?? 130))
            for (index, query) in queries.enumerated() {
                let alone = try scan(view, query: [query], filter: filter)
                #expect(alone.mapValues { $0[0] } == together.mapValues { $0[index] })
            }
        }
    }

    @Test func severalLayersAddUpInSchemaOrder() throws {
        let database = try TestDatabase()
        try database.create(
            TableSchema(
                name: "t",
                layers: [
                    .init(name: "b", dims: 100, codec: .f16),
                    .init(name: "a", dims: 33, codec: .int8),
                    .init(name: "c", dims: 5000, codec: .f32),
                ]))
        var random = SeededRandom(seed: 6)
        var layers: [String: Matrix] = [:]
        for (name, dims) in [("b", 100), ("a", 33), ("c", 5000)] {
            layers[name] = (0..<40).map { _ in random.vector(dims) }
        }
        try database.ingest("t", layers)
        let view = try database.table("t").newest
        let query = try view.table.layers.map {
            try finestCodec(view, $0).encodeQuery(random.vector($0.dims))
        }
        for (row, scores) in try scan(view, query: [query]) {
            #expect(scores[0] == (try specifiedScore(view, query, row: row)))
        }
    }

    @Test func filteredRowsAreTheOnlyOnesAndScoreTheSame() throws {
        let database = try TestDatabase()
        var schema = TableSchema(name: "t", layers: [.init(name: "grad", dims: 5000, codec: .int8)])
        schema.rowsPerGroup = 16
        try database.create(schema)
        var random = SeededRandom(seed: 7)
        try database.ingest("t", ["grad": (0..<100).map { _ in random.vector(5000) }])
        let view = try database.table("t").newest
        let codec = try finestCodec(view, view.table.layers[0])
        let query = [[try codec.encodeQuery(random.vector(5000))]]
        let all = try scan(view, query: query)
        for keep in [[], [0], [99], [3, 4, 5, 50, 77], Array(0..<100)] as [[UInt64]] {
            var filter = RowSet(rowCount: 100)
            for row in keep { filter.insert(row) }
            let some = try scan(view, query: query, filter: filter)
            #expect(some == all.filter { keep.contains($0.key) })
        }
    }
}
