// What estimates say of their errors, against the exact scores of the same rows: standard
// deviations that are those of the errors, and bounds that hold.

import Foundation
import GradDB
import Synchronization
import Testing

@Suite struct EstimateTests {
    /// Rows of one layer, in a database.
    private struct Stored {
        let database: TestDatabase
        let view: TableView
        let layer: Layer

        init(_ codecs: [CodecKind], _ rows: Matrix, rowGroup: Int = 64) throws {
            var schema = TableSchema(
                name: "t", layers: [.init(name: "grad", dims: rows[0].count, codecs: codecs)])
            schema.rowsPerGroup = rowGroup
            database = try TestDatabase()
            try database.create(schema)
            try database.ingest("t", ["grad": rows])
            view = try database.table("t").newest
            layer = view.table.layers[0]
        }

        func column(_ kind: CodecKind, slabs: Int? = nil) throws -> ScanColumn {
            let encoding = try #require(view.encodings(of: layer).first { $0.codec == kind })
            let all = try codec(kind).geometry.slabCount
            return ScanColumn(
                layer: layer, encoding: encoding, slabs: slabs ?? all,
                target: try view.finestEncoding(of: layer).codec)
        }

        func codec(_ kind: CodecKind) throws -> any Codec {
            try view.table.codec(layer, kind, try KernelSet.chosen())
        }

        func scan(_ column: ScanColumn, _ queries: Matrix) throws -> Scan {
            let codec = try codec(column.encoding.codec)
            return try Scan(
                ScanRequest(
                    view: view, checkpoint: try #require(view.newestCheckpoint),
                    columns: [column], queries: try queries.map { [try codec.encodeQuery($0)] },
                    filter: nil, threads: 2, cancellation: Cancellation()))
        }

        /// Dot products and errors, by row and query.
        func scores(_ column: ScanColumn, _ queries: Matrix) throws -> [Pair: Score] {
            let found = Mutex<[Pair: Score]>([:])
            _ = try scan(column, queries).run { _, scores in
                for (index, row) in scores.rows.enumerated() {
                    for query in queries.indices {
                        let position = query * scores.rows.count + index
                        found.withLock {
                            $0[Pair(row: row, query: query)] = Score(
                                dot: scores.dots[position],
                                error: scores.errors.isEmpty ? 0 : scores.errors[position])
                        }
                    }
                }
            }
            return found.withLock { $0 }
        }

        /// The same, row by row.
        func scoresOfRows(
            _ column: ScanColumn, _ queries: Matrix, each step: Int
        ) throws -> [Pair: Score] {
            let scan = try scan(column, queries)
            var places: [RowPlace] = []
            for (unit, group) in scan.units.enumerated() {
                for index in stride(from: 0, to: group.segment.rows(ofGroup: group.group), by: step)
                {
                    // Not the same queries for every row, nor in order.
                    let wanted = queries.indices.reversed().filter { ($0 + index) % 3 != 1 }
                    places.append(RowPlace(unit: unit, index: index, queries: wanted))
                }
            }
            let found = Mutex<[Pair: Score]>([:])
            _ = try scan.run(rows: places.reversed()) { _, row in
                for (position, query) in row.place.queries.enumerated() {
                    found.withLock {
                        $0[Pair(row: row.row, query: query)] = Score(
                            dot: row.dots[row.dots.startIndex + position],
                            error: row.errors.isEmpty
                                ? 0 : row.errors[row.errors.startIndex + position])
                    }
                }
            }
            return found.withLock { $0 }
        }
    }

    private struct Pair: Hashable {
        var row: UInt64
        var query: Int
    }

    private struct Score: Equatable {
        var dot: Double
        var error: Double
    }

    private func randomMatrix(_ count: Int, _ dims: Int, seed: UInt64) -> Matrix {
        var random = SeededRandom(seed: seed)
        return (0..<count).map { _ in random.vector(dims) }
    }

    // MARK: single rows

    @Test(arguments: CodecKind.allCases, [1, 5])
    func singleRowsScoreAsTheWholeTableDoes(kind: CodecKind, queryCount: Int) throws {
        let dims = 20000
        let stored = try Stored([kind], randomMatrix(50, dims, seed: 1), rowGroup: 17)
        let queries = randomMatrix(queryCount, dims, seed: 2)
        let slabs = try stored.codec(kind).geometry.slabCount
        // Prefixes are estimates only of codecs that rotate.
        let prefixes = kind >= .int8 && slabs > 1 ? [slabs, 1, slabs / 2] : [slabs]
        for slabs in prefixes {
            let column = try stored.column(kind, slabs: slabs)
            let all = try stored.scores(column, queries)
            for step in [1, 5] {
                let some = try stored.scoresOfRows(column, queries, each: step)
                #expect(!some.isEmpty)
                for (pair, score) in some { #expect(score == all[pair]) }
            }
        }
    }

    // MARK: standard deviations

    enum Shape: String, CaseIterable, Sendable {
        case gaussian, heavyTailed, sparse

        func row(_ dims: Int, _ random: inout SeededRandom) -> [Float] {
            switch self {
            case .gaussian: random.vector(dims)
            case .heavyTailed:
                // Student's t with three degrees of freedom.
                (0..<dims).map { _ in
                    let squares = (0..<3).reduce(Float(0)) { sum, _ in
                        let x = random.gaussian()
                        return sum + x * x
                    }
                    return random.gaussian() / max(squares / 3, 1e-3).squareRoot()
                }
            case .sparse:
                (0..<dims).map { _ in
                    Int.random(in: 0..<50, using: &random) == 0 ? random.gaussian() : 0
                }
            }
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var codecs: [CodecKind]
        /// What estimates.
        var kind: CodecKind
        var dims: Int
        var slabs: Int?
        var testDescription: String {
            "\(kind) of \(codecs), \(slabs.map { "\($0) slabs" } ?? "whole") of \(dims) dims"
        }
    }

    static let cases = [
        Case(codecs: [.int8], kind: .int8, dims: 8192, slabs: 1),
        Case(codecs: [.int8], kind: .int8, dims: 16384, slabs: 1),
        Case(codecs: [.int8], kind: .int8, dims: 16384, slabs: 2),
        Case(codecs: [.int4], kind: .int4, dims: 16384, slabs: 1),
        Case(codecs: [.bit], kind: .bit, dims: 65536, slabs: 1),
        Case(codecs: [.int8, .bit], kind: .bit, dims: 8192),
        Case(codecs: [.f16, .bit], kind: .bit, dims: 8192),
        Case(codecs: [.f16, .int8], kind: .int8, dims: 8192),
        Case(codecs: [.f16, .int4], kind: .int4, dims: 16384, slabs: 1),
        Case(codecs: [.int8, .int4], kind: .int4, dims: 8192),
        Case(codecs: [.int4, .bit], kind: .bit, dims: 8192),
        Case(codecs: [.int8, .bit], kind: .bit, dims: 65536, slabs: 1),
    ]

    @Test(arguments: cases, Shape.allCases)
    func errorsHaveTheDeviationThatIsSaid(of test: Case, _ shape: Shape) throws {
        var random = SeededRandom(seed: UInt64(test.dims))
        // Rows that are alike to one query err alike: so there are many queries.
        let queries = (0..<24).map { _ in shape.row(test.dims, &random) }
        let rows = (0..<(test.dims > 20000 ? 48 : 96)).map { number in
            let likeness = Float(number % 5) / 4
            return zip(shape.row(test.dims, &random), queries[number % 24]).map {
                $0 + likeness * $1
            }
        }
        let stored = try Stored(test.codecs, rows)
        let finest = try stored.view.finestEncoding(of: stored.layer).codec
        let truth = try stored.scores(try stored.column(finest), queries)
        let column = try stored.column(test.kind, slabs: test.slabs)
        let estimates = try stored.scores(column, queries)
        #expect(estimates.count == rows.count * queries.count)
        var squares = 0.0
        for (pair, estimate) in estimates {
            let exact = try #require(truth[pair])
            #expect(exact.error == 0 && estimate.error > 0)
            let off = (estimate.dot - exact.dot) / estimate.error
            #expect(abs(off) < 6)
            squares += off * off
        }
        let rms = (squares / Double(estimates.count)).squareRoot()
        #expect((0.9...1.1).contains(rms), "rms \(rms)")
    }

    @Test func aPrefixOfAllSlabsIsExact() throws {
        let stored = try Stored([.int8, .bit], randomMatrix(20, 9000, seed: 3))
        let queries = randomMatrix(2, 9000, seed: 4)
        let scores = try stored.scores(try stored.column(.int8), queries)
        #expect(scores.values.allSatisfy { $0.error == 0 })
    }

    @Test func theSignsOfARowWithOneLargeElementAreNotTrusted() throws {
        var rows = randomMatrix(40, 16384, seed: 5)
        let query = randomMatrix(1, 16384, seed: 6)
        for number in 0..<20 {
            for i in rows[number].indices { rows[number][i] += query[0][i] }
            rows[number][number * 31] = 2000
        }
        let stored = try Stored([.int8, .bit], rows)
        let truth = try stored.scores(try stored.column(.int8), query)
        for (pair, estimate) in try stored.scores(try stored.column(.bit), query) {
            let exact = try #require(truth[pair])
            #expect(abs(estimate.dot - exact.dot) <= 5 * estimate.error)
        }
    }

    // MARK: bounds

    /// Rows and queries of single precision at its worst.
    private func hard(_ name: String, _ dims: Int) -> (rows: Matrix, queries: Matrix) {
        var rows = randomMatrix(24, dims, seed: 7)
        var queries = randomMatrix(6, dims, seed: 8)
        switch name {
        case "cancelling":
            for number in rows.indices {
                for i in 0..<dims / 2 { rows[number][dims / 2 + i] = -rows[number][i] }
            }
            for number in queries.indices {
                for i in 0..<dims / 2 { queries[number][dims / 2 + i] = queries[number][i] }
            }
        case "of one sign":
            rows = rows.map { $0.map(abs) }
            queries = queries.map { $0.map(abs) }
        case "large": queries = queries.map { $0.map { $0 * 1e33 } }
        case "small":
            rows = rows.map { $0.map { $0 * 0x1p-20 } }
            queries = queries.map { $0.map { $0 * 0x1p-130 } }
        case "of all sizes":
            for number in rows.indices {
                for i in 0..<dims {
                    rows[number][i] *= Float(sign: .plus, exponent: i * 7 % 13 - 6, significand: 1)
                    queries[number % 6][i] *= i % 97 == 0 ? 1000 : 1
                }
            }
        default: break
        }
        return (rows, queries)
    }

    @Test(
        arguments: [CodecKind.f16, .bf16, .f32],
        ["ordinary", "cancelling", "of one sign", "large", "small", "of all sizes"])
    func boundsOfSinglePrecisionHold(kind: CodecKind, name: String) throws {
        for dims in [1, 31, 1024, 2049, 5000] {
            let (rows, queries) = hard(name, dims)
            let stored = try Stored([kind], rows)
            var column = try stored.column(kind)
            for queries in [Array(queries.prefix(1)), queries] {
                column.isSinglePrecision = false
                let truth = try stored.scores(column, queries)
                column.isSinglePrecision = true
                for (pair, estimate) in try stored.scores(column, queries) {
                    let exact = try #require(truth[pair])
                    #expect(exact.error == 0)
                    #expect(
                        abs(estimate.dot - exact.dot) <= estimate.error, "\(dims) dims, \(pair)")
                }
            }
        }
    }
}
