// Plans against what they promise: pairs drawn at the least cosine, bit by bit.

import GradDB
import GradDBQuery
import Testing

@Suite struct BandPlanTests {
    /// Pairs at about right angles, as most rows are.
    private static let background: BandPlan.Agreement = {
        var agreement = BandPlan.Agreement(bits: 1024)
        for distance in 480...544 { agreement.pairs[distance] = 10 }
        return agreement
    }()

    @Test(arguments: [0.5, 0.9, 0.99, 1.0], [0.5, 0.99])
    func pairsAtTheLeastCosineAreFoundAsOftenAsPromised(cosine: Double, recall: Double) throws {
        let plan = try #require(
            BandPlan.best(rows: 5_000, cosine: cosine, recall: recall, Self.background))
        let agreement = BandPlan.agreement(ofCosine: cosine)
        var random = SplitMix64(state: 7)
        let trials = 400
        var found = 0
        for _ in 0..<trials {
            var distance = 0
            var hasBand = false
            for _ in 0..<plan.bands {
                var differing = 0
                for _ in 0..<plan.bitsPerBand
                where Double(random.next() >> 11) * 0x1p-53 >= agreement { differing += 1 }
                distance += differing
                hasBand = hasBand || differing == 0
            }
            if hasBand, distance <= plan.largestDistance { found += 1 }
        }
        let deviation = (recall * (1 - recall) * Double(trials)).squareRoot()
        #expect(Double(found) >= recall * Double(trials) - 5 * deviation)
    }

    @Test func bitsAgreeAsOftenAsAnglesSay() {
        #expect(BandPlan.agreement(ofCosine: 1) > 0.9999)
        // A right angle is one in two; a little less, as it is rather too careful.
        #expect((0.48...0.5).contains(BandPlan.agreement(ofCosine: 0)))
        #expect((0.655...0.667).contains(BandPlan.agreement(ofCosine: 0.5)))
    }

    @Test func moreRowsGetLongerBands() throws {
        let few = try #require(
            BandPlan.best(rows: 1_000, cosine: 0.99, recall: 0.999, Self.background))
        let many = try #require(
            BandPlan.best(rows: 10_000_000, cosine: 0.99, recall: 0.999, Self.background))
        #expect(many.bitsPerBand > few.bitsPerBand)
        #expect(many.bits <= BandPlan.mostBits)
    }

    @Test func rowsThatAreAllAlikeHaveNoPlanThatIsSure() {
        let certain = BandPlan.best(rows: 1_000, cosine: 0.9, recall: 1, Self.background)
        #expect(certain == nil)
        // A right angle tells nothing: only bands of few bits would be found, by everyone.
        let hopeless = BandPlan.best(rows: 100_000, cosine: 0.01, recall: 0.999, Self.background)
        #expect(hopeless.map { $0.seconds > 10 } ?? true)
    }
}
