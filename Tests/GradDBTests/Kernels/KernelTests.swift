// Every variant of every kernel against its scalar twin, bit for bit, and the scalar twin against
// the plainest code that computes the same.

import CGradKernels
import GradDB
import Testing

@Suite struct KernelTests {
    static let lengths =
        Array(0...70) + [127, 128, 129, 255, 256, 257, 1000, 1023, 1024, 1025, 4095, 4096]
    let scalar = KernelSet.supported[0]

    private func others() -> [KernelSet] { Array(KernelSet.supported.dropFirst()) }

    @Test func scalarIsAlwaysThere() {
        #expect(scalar.name == "scalar")
    }

    @Test(arguments: lengths) func hashIsTheSameInEveryVariant(length: Int) {
        var random = SeededRandom(seed: UInt64(length))
        let bytes = (0..<length * 5).map { _ in UInt8.random(in: 0...255, using: &random) }
        bytes.withUnsafeBytes { bytes in
            for kernels in others() { #expect(kernels.hash(bytes) == scalar.hash(bytes)) }
        }
    }

    @Test func hashIsXXH3() {
        // Published values of XXH3-64 with seed 0.
        #expect(scalar.hash(UnsafeRawBufferPointer(start: nil, count: 0)) == 0x2D06_8005_38D3_94C2)
    }

    @Test(arguments: lengths) func int8DotIsExact(dims: Int) {
        var random = SeededRandom(seed: UInt64(dims) + 1)
        for rowCount in [1, 2, 3, 4, 5, 9] {
            // Every byte value, -128 among them: damaged bytes must not overflow anything.
            let rows = (0..<rowCount * dims).map { _ in Int8.random(in: -128...127, using: &random)
            }
            let query = (0..<dims).map { _ in Int8.random(in: -127...127, using: &random) }
            let sum = query.reduce(Int32(0)) { $0 + Int32($1) }
            var expected = [Int64](repeating: 7, count: rowCount)
            for row in 0..<rowCount {
                for i in 0..<dims { expected[row] += Int64(rows[row * dims + i]) * Int64(query[i]) }
            }
            for kernels in KernelSet.supported {
                var out = [Int64](repeating: 7, count: rowCount)
                kernels.table.dot_int8(rows, rowCount, dims, dims, query, sum, &out)
                #expect(out == expected, "\(kernels.name), \(rowCount) rows")
            }
        }
    }

    @Test func int8DotIsExactAtTheExtremes() {
        let dims = 4096
        for (x, q) in [(Int8(-128), Int8(-127)), (-128, 127), (127, 127), (127, -127)] {
            let row = [Int8](repeating: x, count: dims)
            let query = [Int8](repeating: q, count: dims)
            for kernels in KernelSet.supported {
                var out: [Int64] = [0]
                kernels.table.dot_int8(row, 1, dims, dims, query, Int32(q) * 4096, &out)
                #expect(out[0] == Int64(x) * Int64(q) * 4096)
            }
        }
    }

    @Test(arguments: lengths) func floatDotsAreTheSixteenLanesOfTheSpecification(dims: Int) {
        var random = SeededRandom(seed: UInt64(dims) + 2)
        let rowCount = 5
        let rows = random.vector(rowCount * dims).map { $0 * 1e3 }
        let query = random.vector(dims)
        let halves = rows.map { Float16($0).bitPattern }
        func lanes(_ element: (Int) -> Float) -> Double {
            var lanes = [Double](repeating: 0, count: 16)
            for i in 0..<dims { lanes[i % 16] += Double(element(i)) * Double(query[i]) }
            for width in [8, 4, 2, 1] { for j in 0..<width { lanes[j] += lanes[j + width] } }
            return lanes[0]
        }
        for kernels in KernelSet.supported {
            var f32 = [Double](repeating: 0.5, count: rowCount)
            kernels.table.dot_f32(rows, rowCount, dims * 4, dims, query, &f32)
            var f16 = [Double](repeating: 0.5, count: rowCount)
            kernels.table.dot_f16(halves, rowCount, dims * 2, dims, query, &f16)
            for row in 0..<rowCount {
                #expect(f32[row] == 0.5 + lanes { rows[row * dims + $0] }, "\(kernels.name)")
                #expect(
                    f16[row] == 0.5 + lanes { Float(Float16(bitPattern: halves[row * dims + $0])) },
                    "\(kernels.name)")
            }
        }
    }

    @Test(arguments: [1, 7, 32, 63, 64, 100, 128, 1024, 2048, 4096])
    func hashAndDotIsHashAndDot(dims: Int) {
        var random = SeededRandom(seed: UInt64(dims) + 4)
        for rowCount in [1, 2, 4, 5, 16] {
            let bytes = (0..<rowCount * dims).map { _ in Int8.random(in: -127...127, using: &random)
            }
            let q = (0..<dims).map { _ in Int8.random(in: -127...127, using: &random) }
            let sum = q.reduce(Int32(0)) { $0 + Int32($1) }
            let floats = random.vector(rowCount * dims)
            let halves = floats.map { Float16($0).bitPattern }
            let query = random.vector(dims)
            for kernels in KernelSet.supported {
                let table = kernels.table
                var (a, b) = (
                    [Int64](repeating: 3, count: rowCount), [Int64](repeating: 3, count: rowCount)
                )
                table.dot_int8(bytes, rowCount, dims, dims, q, sum, &a)
                #expect(
                    table.hash_and_dot_int8(bytes, rowCount, dims, q, sum, &b)
                        == bytes.withUnsafeBytes(scalar.hash))
                #expect(a == b)
                var (c, d) = (
                    [Double](repeating: 3, count: rowCount), [Double](repeating: 3, count: rowCount)
                )
                table.dot_f32(floats, rowCount, dims * 4, dims, query, &c)
                #expect(
                    table.hash_and_dot_f32(floats, rowCount, dims, query, &d)
                        == floats.withUnsafeBytes(scalar.hash))
                #expect(c == d)
                (c, d) = (
                    [Double](repeating: 3, count: rowCount), [Double](repeating: 3, count: rowCount)
                )
                table.dot_f16(halves, rowCount, dims * 2, dims, query, &c)
                #expect(
                    table.hash_and_dot_f16(halves, rowCount, dims, query, &d)
                        == halves.withUnsafeBytes(scalar.hash))
                #expect(c == d)
            }
        }
    }

    @Test func everyHalfConvertsExactly() {
        let halves = (0...UInt16.max).map { $0 }
        let expected = halves.map { Float(Float16(bitPattern: $0)) }
        for kernels in KernelSet.supported {
            var floats = [Float](repeating: 0, count: halves.count)
            kernels.table.f16_to_f32(halves, &floats, halves.count)
            for (mine, theirs) in zip(floats, expected) {
                #expect(mine == theirs || (mine.isNaN && theirs.isNaN))
            }
            var bf16 = [Float](repeating: 0, count: halves.count)
            kernels.table.bf16_to_f32(halves, &bf16, halves.count)
            for (bits, float) in zip(halves, bf16) {
                #expect(float.bitPattern == UInt32(bits) << 16 || float.isNaN)
            }
        }
    }

    @Test func floatsRoundToTheNearestHalf() {
        var random = SeededRandom(seed: 5)
        var floats = (0..<20000).map { _ in
            Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
        }
        floats += [65504, 65519.99, 65520, 5.96e-8, 2.98e-8, 2.99e-8, 0, -0.0, 1, 1.00048828125]
        let expected = floats.map { Float16($0) }
        for kernels in KernelSet.supported {
            var halves = [UInt16](repeating: 0, count: floats.count)
            kernels.table.f32_to_f16(floats, &halves, floats.count)
            for (mine, theirs) in zip(halves, expected) where !theirs.isNaN {
                #expect(mine == theirs.bitPattern, "\(kernels.name)")
            }
        }
    }

    @Test(arguments: lengths) func elementwiseKernelsAgreeWithPlainCode(length: Int) {
        var random = SeededRandom(seed: UInt64(length) + 3)
        let x = random.vector(length)
        for kernels in KernelSet.supported {
            #expect(kernels.table.max_magnitude(x, length) == x.map(\.magnitude).max() ?? 0)
            #expect(kernels.table.find_nonfinite(x, length) == length)
            var quantized = [Int8](repeating: 0, count: length)
            let sum = kernels.table.quantize_int8(x, length, 40, &quantized)
            let expected = x.map {
                Int8(max(-127, min(127, ($0 * 40).rounded(.toNearestOrEven))))
            }
            #expect(quantized == expected)
            #expect(sum == expected.reduce(UInt64(0)) { $0 + UInt64(Int($1) * Int($1)) })
            #expect(
                kernels.table.sum_of_squares(x, length)
                    == scalar.table.sum_of_squares(x, length))
        }
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity])
    func theFirstNonfiniteValueIsFound(bad: Float) {
        for length in [1, 7, 16, 33, 100] {
            for position in 0..<length {
                var x = [Float](repeating: 1, count: length)
                x[position] = bad
                x[length - 1] = bad
                for kernels in KernelSet.supported {
                    #expect(kernels.table.find_nonfinite(x, length) == min(position, length - 1))
                }
            }
        }
    }
}
