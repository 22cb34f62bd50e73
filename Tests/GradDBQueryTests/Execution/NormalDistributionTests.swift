import GradDBQuery
import Testing

@Suite struct NormalDistributionTests {
    // Abramowitz and Stegun, table 26.1, and further out by continued fractions.
    private static let known: [(z: Double, tail: Double)] = [
        (0, 0.5), (0.6744897501960817, 0.25), (1, 0.158655253931457),
        (1.2815515655446004, 0.1), (1.6448536269514722, 0.05), (1.959963984540054, 0.025),
        (2.3263478740408408, 0.01), (3.090232306167814, 0.001), (3.719016485455709, 1e-4),
        (4.753424308822899, 1e-6), (5.997807015007685, 1e-9), (6.361340902404056, 1e-10),
    ]

    @Test func quantilesAreThoseOfTheTables() {
        for (z, tail) in Self.known {
            let quantile = NormalDistribution.quantile(upperTail: tail)
            #expect(abs(quantile - z) < 1e-9, "P(Z > z) = \(tail)")
            #expect(abs(NormalDistribution.upperTail(z) / tail - 1) < 1e-9, "z = \(z)")
        }
    }

    @Test func tailsAreSymmetric() {
        for z in stride(from: 0.0, to: 8, by: 0.37) {
            let both = NormalDistribution.upperTail(z) + NormalDistribution.upperTail(-z)
            #expect(abs(both - 1) < 1e-15)
        }
    }

    @Test func quantilesOfTheSmallestProbabilitiesAreFinite() {
        var last = 0.0
        for exponent in stride(from: 1.0, through: 300, by: 7) {
            var probability = 1.0
            for _ in 0..<Int(exponent) { probability /= 10 }
            let z = NormalDistribution.quantile(upperTail: probability)
            #expect(z > last && z < 40)
            #expect(abs(NormalDistribution.upperTail(z) / probability - 1) < 1e-9)
            last = z
        }
    }
}
