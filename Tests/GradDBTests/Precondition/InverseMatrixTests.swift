// Sums over gradients and the inverses made of them, against elimination, and Frequent Directions
// against what it promises.

import GradDB
import Testing

@Suite struct InverseMatrixTests {
    private static let damping = 0.25

    private func sum(_ kind: PreconditionerKind, dims: Int, rank: Int) throws -> any GradientSum {
        switch kind {
        case .dense: try DenseSum(dims: dims, threads: 2, cancellation: Cancellation())
        case .diagonal: try DiagonalSum(dims: dims, threads: 2)
        case .woodbury:
            try FrequentDirections(
                dims: dims, rank: rank, threads: 2, cancellation: Cancellation())
        }
    }

    /// H by its definition.
    private func matrix(_ kind: PreconditionerKind, _ rows: [[Double]]) -> [[Double]] {
        var matrix = DenseOracle.secondMoment(rows).map { $0.map { $0 / Double(rows.count) } }
        for i in matrix.indices {
            matrix[i][i] += Self.damping
            if kind == .diagonal {
                for j in matrix.indices where i != j { matrix[i][j] = 0 }
            }
        }
        return matrix
    }

    /// Written and read again, as a database does it.
    private final class Numbers: NumberSource {
        private var numbers: [Double] = []

        init(_ matrix: any InverseMatrix) { matrix.forEachRun { numbers += $0 } }

        var count: Int { numbers.count }

        func read(into target: UnsafeMutableBufferPointer<Double>) throws {
            _ = target.update(fromContentsOf: numbers.prefix(target.count))
            numbers.removeFirst(target.count)
        }
    }

    /// `woodbury` with no more gradients than directions is the dense matrix.
    @Test(arguments: PreconditionerKind.allCases, [1, 5, 23, 60])
    func inversesAreThoseOfTheDefinition(kind: PreconditionerKind, count: Int) throws {
        let dims = 23
        var random = SeededRandom(seed: UInt64(count))
        let rows = random.doubles(count, dims)
        let sum = try sum(kind, dims: dims, rank: 60)
        for start in stride(from: 0, to: count, by: 7) {
            try sum.add(try DoubleMatrix(Array(rows[start..<min(count, start + 7)])).block)
        }
        let trace = rows.joined().reduce(0) { $0 + $1 * $1 }
        #expect(abs(sum.trace - trace) < 1e-10 * trace)
        let made = try sum.inverse(count: count, damping: Self.damping)
        let stored = Numbers(made)
        let part = PreconditionerDocument.Part(
            part: 0, layer: 0, checkpoint: 0, kind: kind, damping: Self.damping, rank: made.rank,
            rows: count, bytes: 0)
        #expect(stored.count == part.numberCount(dims: dims))
        let inverse = try part.matrix(dims: dims, reading: stored)
        #expect(inverse.dims == dims && inverse.rank == made.rank)
        let queries = random.doubles(3, dims) + [rows[0]]
        let applied = try DoubleMatrix(queries)
        try inverse.apply(to: applied.block)
        let norms = try inverse.squaredNorms(try DoubleMatrix(queries).block, threads: 2)
        for (index, query) in queries.enumerated() {
            let wanted = DenseOracle.solve(matrix(kind, rows), query)
            let size = DenseOracle.dot(wanted, wanted).squareRoot()
            for (found, element) in zip(applied.contents[index], wanted) {
                #expect(abs(found - element) < 1e-12 * size)
            }
            let norm = DenseOracle.dot(query, wanted)
            #expect(abs(norms[index] - norm) < 1e-12 * norm)
        }
    }

    @Test(arguments: [1, 2, 5, 12], [3, 30, 100])
    func frequentDirectionsKeepsItsPromise(rank: Int, count: Int) throws {
        let dims = 15
        var random = SeededRandom(seed: UInt64(rank * 1000 + count))
        // Some directions are much larger than others.
        let scales = (0..<dims).map { 10 / Double($0 + 1) }
        let rows = random.doubles(count, dims).map { zip($0, scales).map { $0 * $1 } }
        let sum = try FrequentDirections(
            dims: dims, rank: rank, threads: 2, cancellation: Cancellation())
        try sum.add(try DoubleMatrix(rows).block)
        let inverse = try sum.inverse(count: count, damping: Self.damping)
        let energy = rows.joined().reduce(0) { $0 + $1 * $1 }
        #expect(sum.lost >= 0 && sum.lost <= energy / Double(rank + 1) * (1 + 1e-12))
        if count <= rank { #expect(sum.lost == 0) }

        // c, s and V: what BᵀB is, times n.
        let stored = Numbers(inverse)
        var head = [Double](repeating: 0, count: 1 + inverse.rank)
        try head.withUnsafeMutableBufferPointer { try stored.read(into: $0) }
        let directions = try DoubleMatrix(rows: inverse.rank, columns: dims)
        try stored.read(into: directions.numbers)
        #expect(abs(head[0] - Self.damping - sum.lost / Double(2 * count)) < 1e-12)
        let vectors = directions.contents
        let second = DenseOracle.secondMoment(rows)
        let error = (0..<dims).map { i in
            (0..<dims).map { j in
                second[i][j]
                    - zip(head.dropFirst(), vectors).reduce(0) {
                        $0 + $1.0 * Double(count) * $1.1[i] * $1.1[j]
                    }
            }
        }
        let eigenvalues = DenseOracle.eigenvalues(error)
        #expect(eigenvalues[0] > -1e-10 * energy)
        #expect(eigenvalues[dims - 1] < sum.lost + 1e-10 * energy)
    }

    /// Many more gradients than directions, but all within few dims: nothing is lost.
    @Test func gradientsOfFewDirectionsLoseNothing() throws {
        let dims = 20
        var random = SeededRandom(seed: 9)
        let basis = random.doubles(3, dims)
        let rows = random.doubles(200, 3).map { weights in
            (0..<dims).map { dim in zip(weights, basis).reduce(0) { $0 + $1.0 * $1.1[dim] } }
        }
        let sum = try FrequentDirections(
            dims: dims, rank: 4, threads: 1, cancellation: Cancellation())
        try sum.add(try DoubleMatrix(rows).block)
        let inverse = try sum.inverse(count: rows.count, damping: Self.damping)
        #expect(sum.lost == 0)
        let query = random.doubles(1, dims)
        let applied = try DoubleMatrix(query)
        try inverse.apply(to: applied.block)
        let wanted = DenseOracle.solve(matrix(.woodbury, rows), query[0])
        for (found, element) in zip(applied.contents[0], wanted) {
            #expect(abs(found - element) < 1e-10)
        }
    }

    /// Fewer gradients than dims and no damping: rounding must not pass for an inverse.
    @Test func aSingularMatrixIsRefused() throws {
        var random = SeededRandom(seed: 10)
        for (count, dims) in [(3, 8), (40, 41), (299, 300)] {
            let rows = random.doubles(count, dims)
            let sum = try sum(.dense, dims: dims, rank: 0)
            try sum.add(try DoubleMatrix(rows).block)
            #expect(throws: NotPositiveDefinite.self) {
                try sum.inverse(count: count, damping: 0)
            }
        }
        let zero = try sum(.diagonal, dims: 2, rank: 0)
        try zero.add(try DoubleMatrix([[1, 0]]).block)
        #expect(throws: NotPositiveDefinite.self) { try zero.inverse(count: 1, damping: 0) }
    }

    @Test func numbersThatCannotBeAreCorrupt() throws {
        final class Same: NumberSource {
            let value: Double
            init(_ value: Double) { self.value = value }
            func read(into target: UnsafeMutableBufferPointer<Double>) throws {
                target.update(repeating: value)
            }
        }
        for kind in PreconditionerKind.allCases {
            let part = PreconditionerDocument.Part(
                part: 0, layer: 0, checkpoint: 0, kind: kind, damping: 1, rank: 2, rows: 1,
                bytes: 0)
            for value in [0, -1, Double.nan, .infinity] {
                let error = #expect(throws: GradDBError.self) {
                    try part.matrix(dims: 4, reading: Same(value))
                }
                #expect(error?.kind == .corrupt)
            }
        }
    }
}
