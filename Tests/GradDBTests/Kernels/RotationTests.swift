import GradDB
import Testing

/// The rotation of format-spec/codecs.md, written as the specification reads.
private func specifiedRotation(_ x: [Float], seed: UInt64) -> [Float] {
    func mix(_ state: UInt64) -> UInt64 {
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
    var p = 1
    while p * 2 <= x.count { p *= 2 }
    func round(_ x: [Float], _ r: UInt64) -> [Float] {
        var x = x
        for i in 0..<p {
            let word = mix(seed &+ ((r << 32) &+ UInt64(i / 64) &+ 1) &* 0x9E37_79B9_7F4A_7C15)
            if word >> UInt64(i % 64) & 1 == 1 { x[i] = -x[i] }
        }
        var h = 1
        while h < p {
            for j in 0..<p where j & h == 0 {
                (x[j], x[j + h]) = (x[j] + x[j + h], x[j] - x[j + h])
            }
            h *= 2
        }
        return x.map { $0 * (Float(1) / Float(p).squareRoot()) }
    }
    var y = round(Array(x[0..<p]), 0) + x[p...]
    if p < x.count { y = y[..<(x.count - p)] + round(Array(y[(x.count - p)...]), 1) }
    let n = x.count / 16
    var g = max(1, n * 40503 / 65536)
    while (2..<max(2, n + 1)).contains(where: { g % $0 == 0 && n % $0 == 0 }) { g += 1 }
    return x.indices.map { i in i < 16 * n ? y[i / 16 * g % n * 16 + i % 16] : y[i] }
}

@Suite struct RotationTests {
    static let dims = Array(1...40) + [63, 64, 65, 127, 256, 1000, 4096, 4097, 16384, 65536]

    @Test(arguments: dims) func everyVariantRotatesAsSpecified(dims: Int) {
        var random = SeededRandom(seed: UInt64(dims))
        let x = random.vector(dims)
        let expected = specifiedRotation(x, seed: 77)
        for kernels in KernelSet.supported {
            var y = x
            Rotation(dims: dims, seed: 77).apply(&y, kernels: kernels)
            #expect(y.map(\.bitPattern) == expected.map(\.bitPattern), "\(kernels.name)")
        }
    }

    @Test(arguments: dims) func rotationKeepsNormsAndIsUndone(dims: Int) throws {
        var random = SeededRandom(seed: UInt64(dims) + 9)
        let x = random.vector(dims)
        let kernels = try KernelSet.chosen()
        let rotation = Rotation(dims: dims, seed: 3)
        var y = x
        rotation.apply(&y, kernels: kernels)
        let before = x.reduce(0.0) { $0 + Double($1) * Double($1) }
        let after = y.reduce(0.0) { $0 + Double($1) * Double($1) }
        #expect(abs(before - after) <= 1e-5 * before)
        rotation.applyInverse(&y, kernels: kernels)
        for (mine, original) in zip(y, x) { #expect(abs(mine - original) < 1e-4) }
    }

    @Test func aSpikeIsSpreadOverAllDims() throws {
        var x = [Float](repeating: 0, count: 4097)
        x[4000] = 1
        Rotation(dims: 4097, seed: 1).apply(&x, kernels: try KernelSet.chosen())
        #expect(x.map(\.magnitude).max() ?? 1 < 0.1)
    }
}
