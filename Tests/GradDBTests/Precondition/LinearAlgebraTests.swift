// Products, factorisations and decompositions, against their definitions.

import GradDB
import Testing

@Suite struct LinearAlgebraTests {
    private let algebra: LinearAlgebra

    init() throws { algebra = try LinearAlgebra.required() }

    /// Symmetric, with a diagonal that makes it positive definite.
    private func definite(_ order: Int, _ random: inout SeededRandom) -> [[Double]] {
        let rows = random.doubles(order, order)
        var matrix = rows
        for i in 0..<order {
            for j in 0..<order { matrix[i][j] = (rows[i][j] + rows[j][i]) / 2 }
            matrix[i][i] += 4 * Double(order).squareRoot()
        }
        return matrix
    }

    /// One panel, several panels, tiles that are not full; on one and several threads alike.
    @Test(arguments: [1, 7, 256, 257, 700, 1100])
    func theFactorTimesItsTransposeIsTheMatrix(order: Int) throws {
        var random = SeededRandom(seed: 1)
        let given = definite(order, &random)
        var factors: [[Double]] = []
        for threads in [1, 3] {
            let matrix = try DoubleMatrix(given)
            // What lies above the diagonal is not the matrix.
            for row in 0..<order {
                for column in row + 1..<max(order, row + 1) { matrix.block.row(row)[column] = .nan }
            }
            #expect(try algebra.factor(matrix, threads: threads, cancellation: Cancellation()))
            for row in 0..<order {
                for column in row + 1..<max(order, row + 1) { matrix.block.row(row)[column] = 0 }
            }
            let product = try DoubleMatrix(rows: order, columns: order)
            algebra.multiply(
                .plain(matrix.block), .transposed(matrix.block), into: product.block)
            for (row, numbers) in given.enumerated() {
                for column in 0..<order {
                    #expect(abs(product.block.row(row)[column] - numbers[column]) < 1e-11)
                }
            }
            factors.append(Array(matrix.numbers))
        }
        #expect(factors[0] == factors[1])
    }

    @Test func anIndefiniteMatrixHasNoFactor() throws {
        var random = SeededRandom(seed: 2)
        var rows = definite(600, &random)
        rows[599][599] = -1
        let matrix = try DoubleMatrix(rows)
        #expect(try !algebra.factor(matrix, threads: 2, cancellation: Cancellation()))
    }

    @Test func anInterruptionEndsAFactorisation() throws {
        var random = SeededRandom(seed: 3)
        let matrix = try DoubleMatrix(definite(10, &random))
        let cancellation = Cancellation()
        cancellation.cancel()
        #expect(throws: GradDBError.self) {
            try algebra.factor(matrix, threads: 1, cancellation: cancellation)
        }
    }

    @Test(arguments: [(3, 9), (9, 3), (1, 5), (5, 5)])
    func singularVectorsAreThoseOfTheMatrix(rows: Int, columns: Int) throws {
        var random = SeededRandom(seed: 4)
        let given = random.doubles(rows, columns)
        let (values, vectors) = try algebra.singularVectors(try DoubleMatrix(given).block)
        let right = vectors.contents
        #expect(right.count == min(rows, columns) && values == values.sorted(by: >))
        for (i, first) in right.enumerated() {
            for (j, second) in right.enumerated() {
                #expect(abs(DenseOracle.dot(first, second) - (i == j ? 1 : 0)) < 1e-13)
            }
        }
        // GᵀG v = σ² v.
        for (value, vector) in zip(values, right) {
            let image = DenseOracle.secondMoment(given).map { DenseOracle.dot($0, vector) }
            for (found, element) in zip(image, vector) {
                #expect(abs(found - value * value * element) < 1e-12 * values[0] * values[0])
            }
        }
    }

    @Test func eigenvectorsAreTheRows() throws {
        var random = SeededRandom(seed: 5)
        let given = definite(12, &random)
        let matrix = try DoubleMatrix(given)
        for row in 0..<12 {
            for column in row + 1..<max(12, row + 1) { matrix.block.row(row)[column] = .nan }
        }
        let values = try algebra.eigenvalues(matrix)
        #expect(values == values.sorted())
        for (value, vector) in zip(values, matrix.contents) {
            for (row, element) in zip(given, vector) {
                #expect(abs(DenseOracle.dot(row, vector) - value * element) < 1e-12)
            }
        }
        for (found, wanted) in zip(values, DenseOracle.eigenvalues(given)) {
            #expect(abs(found - wanted) < 1e-11)
        }
    }
}
