import GradDB
import Testing

@Suite struct CodecTests {
    static let dims = [1, 2, 7, 64, 255, 256, 1000, 4096, 4097]

    private func encode(
        _ codec: any Codec, _ row: [Float]
    ) throws(EncodingFailure) -> (bytes: [UInt8], statistics: RowStatistics) {
        let floats = UnsafeMutableBufferPointer<Float>.allocate(capacity: row.count)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: codec.rowBytes, alignment: 8)
        defer {
            floats.deallocate()
            bytes.deallocate()
        }
        _ = floats.initialize(from: row)
        let statistics = try codec.encode(floats, into: bytes)
        return ([UInt8](bytes), statistics)
    }

    private func decode(_ codec: any Codec, _ encoded: ([UInt8], RowStatistics)) -> [Float] {
        var row = [Float](repeating: 0, count: codec.dims)
        encoded.0.withUnsafeBytes { bytes in
            row.withUnsafeMutableBufferPointer { codec.decode(bytes, encoded.1, into: $0) }
        }
        return row
    }

    private func codec(_ kind: CodecKind, _ dims: Int) throws -> any Codec {
        kind.codec(dims: dims, seed: 42, kernels: try KernelSet.chosen())
    }

    @Test(arguments: dims) func f32KeepsEveryBit(dims: Int) throws {
        var random = SeededRandom(seed: 1)
        let row = random.vector(dims)
        let codec = try codec(.f32, dims)
        #expect(decode(codec, try encode(codec, row)) == row)
    }

    @Test(arguments: dims) func f16KeepsTheNearestHalf(dims: Int) throws {
        var random = SeededRandom(seed: 2)
        let row = random.vector(dims)
        let codec = try codec(.f16, dims)
        #expect(decode(codec, try encode(codec, row)) == row.map { Float(Float16($0)) })
    }

    @Test(arguments: dims) func int8StaysWithinItsStatedError(dims: Int) throws {
        var random = SeededRandom(seed: UInt64(dims))
        let codec = try codec(.int8, dims)
        for _ in 0..<20 {
            let row = random.vector(dims)
            let encoded = try encode(codec, row)
            let decoded = decode(codec, encoded)
            let error = zip(row, decoded).reduce(0.0) {
                $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1)
            }
            let norm = row.reduce(0.0) { $0 + Double($1) * Double($1) }
            // Each rotated coordinate is off by half a scale at most; rotation keeps norms.
            let bound = 0.5 * Double(encoded.statistics.scale) * Double(dims).squareRoot()
            #expect(error.squareRoot() <= bound + 1e-5 * norm.squareRoot())
        }
    }

    @Test(arguments: dims) func bf16KeepsTheNearestOfItsNumbers(dims: Int) throws {
        var random = SeededRandom(seed: 3)
        let row = random.vector(dims)
        let codec = try codec(.bf16, dims)
        let nearest = row.map { value in
            let bits = value.bitPattern
            return Float(bitPattern: (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
        }
        #expect(decode(codec, try encode(codec, row)) == nearest)
    }

    @Test(arguments: [CodecKind.int4, .bit], [8, 64, 257, 4096, 20001])
    func levelsEstimateWithoutBiasAndStateTheirError(kind: CodecKind, dims: Int) throws {
        var random = SeededRandom(seed: UInt64(dims))
        let codec = try codec(kind, dims)
        for _ in 0..<10 {
            let row = random.vector(dims)
            let encoded = try encode(codec, row)
            let decoded = decode(codec, encoded)
            func dot(_ a: [Float], _ b: [Float]) -> Double {
                zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            }
            let squaredNorm = dot(row, row)
            let error = zip(row, decoded).map { $0.1 - $0.0 }
            // What defines the scale, and the residual norm.
            #expect(abs(dot(decoded, row) / squaredNorm - 1) < 1e-4)
            #expect(abs(encoded.statistics.squaredNorm / squaredNorm - 1) < 1e-4)
            let residual = Double(encoded.statistics.residualNorm)
            #expect(
                abs(residual - dot(error, error).squareRoot()) < 1e-3 * squaredNorm.squareRoot())
        }
    }

    @Test func levelsLoseWhatTheSpecificationSays() throws {
        var random = SeededRandom(seed: 77)
        for (kind, expected) in [(CodecKind.int4, 0.108), (.bit, 0.756)] {
            let statistics = try encode(codec(kind, 65536), random.vector(65536)).statistics
            let loss = Double(statistics.residualNorm) / statistics.squaredNorm.squareRoot()
            #expect(abs(loss / expected - 1) < 0.02, "\(kind): \(loss)")
        }
    }

    @Test(arguments: CodecKind.allCases) func aZeroRowStaysZero(kind: CodecKind) throws {
        let codec = try codec(kind, 300)
        let encoded = try encode(codec, [Float](repeating: 0, count: 300))
        #expect(encoded.statistics.squaredNorm == 0)
        #expect(decode(codec, encoded) == [Float](repeating: 0, count: 300))
    }

    @Test(arguments: [Float(1.4e-45), Float.leastNormalMagnitude, 1e-36, 1e-30, 1e30])
    func int8TakesVerySmallAndLargeRows(magnitude: Float) throws {
        let codec = try codec(.int8, 128)
        let encoded = try encode(codec, [Float](repeating: magnitude, count: 128))
        #expect(encoded.statistics.scale.isFinite)
        #expect(encoded.statistics.squaredNorm.isFinite)
        let decoded = decode(codec, encoded)
        #expect(decoded.allSatisfy { $0.isFinite })
    }

    @Test func valuesThatACodecCannotHoldAreRefused() throws {
        let half = try codec(.f16, 4)
        #expect(throws: EncodingFailure.self) { try encode(half, [1, 2, 70000, 3]) }
        let int8 = try codec(.int8, 4096)
        #expect(throws: EncodingFailure.self) {
            try encode(int8, [Float](repeating: 3e38, count: 4096))
        }
    }

    @Test(arguments: CodecKind.allCases) func aStoredRowIsAQueryAsItIs(kind: CodecKind) throws {
        var random = SeededRandom(seed: 8)
        let codec = try codec(kind, 4097)
        let row = random.vector(4097)
        let encoded = try encode(codec, row)
        let query = codec.query(fromRow: encoded.bytes, encoded.statistics)
        #expect(query.squaredNorm == encoded.statistics.squaredNorm)
        if kind == .int8 { #expect(query.elements.contents == encoded.bytes) }
    }
}
