// How many hyperplanes a signature has, and how they are put into bands, so that a pair of rows is
// found surely enough and few others are looked at (Indyk and Motwani, STOC 1998; Leskovec,
// Rajaraman and Ullman, Mining of Massive Datasets, chapter 3).
//
// Two rows at an angle θ agree in one bit with probability p = 1 − θ/π, and in all bits of a band of k
// with p^k. Of L bands at least one agrees with 1 − (1 − p^k)^L. A pair may besides be passed over
// because its signatures differ in too many bits. Each of the two may lose half of what the recall
// leaves; the bound holds for every pair.

import GradDB

#if canImport(Glibc)
    import Glibc
#endif

package struct BandPlan: Sendable, Equatable {
    package let bitsPerBand: Int
    package let bands: Int
    /// The most bits in which the signatures of a pair may differ.
    package let largestDistance: Int
    /// About what it takes, on one thread.
    package let seconds: Double

    package var bits: Int { bitsPerBand * bands }

    /// What larger signatures take is better spent otherwise.
    package static let mostBits = 1 << 17

    /// What pairs of rows that were drawn at random agree in.
    package struct Agreement: Sendable {
        /// By number of bits that differ, of `bits`: how many pairs.
        package var pairs: [Int]
        package var bits: Int { pairs.count - 1 }

        package init(bits: Int) { pairs = [Int](repeating: 0, count: bits + 1) }

        /// The probability that a pair agrees in `count` bits.
        package func probability(bits count: Int) -> Double {
            let all = pairs.reduce(0, +)
            guard all > 0 else { return 0 }
            let sum = pairs.indices.reduce(0.0) { sum, distance in
                let agreed = 1 - Double(distance) / Double(bits)
                return sum + Double(pairs[distance]) * pow(agreed, Double(count))
            }
            return sum / Double(all)
        }
    }

    /// The probability that rows of this cosine agree in a bit, a little less than it is: signatures
    /// are made in single precision, of sums of elements.
    package static func agreement(ofCosine cosine: Double) -> Double {
        max(0, 1 - (acos(min(1, max(-1, cosine))) * 1.03 + 1e-4) / .pi)
    }

    /// The cheapest plan; nil where there is none.
    ///
    /// - Parameters:
    ///   - cosine: of the decoded rows of a pair that must be found.
    ///   - recall: below 1.
    package static func best(
        rows: Int, cosine: Double, recall: Double, _ agreement: Agreement
    ) -> BandPlan? {
        (6...60).lazy.compactMap {
            plan(bitsPerBand: $0, rows: rows, cosine: cosine, recall: recall, agreement)
        }.min { $0.seconds < $1.seconds }
    }

    private static func plan(
        bitsPerBand: Int, rows: Int, cosine: Double, recall: Double, _ agreement: Agreement
    ) -> BandPlan? {
        let loss = (1 - recall) / 2
        let p = Self.agreement(ofCosine: cosine)
        let found = pow(p, Double(bitsPerBand))
        guard loss > 0, found > 0 else { return nil }
        let bands = (log(loss) / log1p(-min(found, 1 - 1e-12))).rounded(.up)
        guard bands * Double(bitsPerBand) <= Double(mostBits) else { return nil }
        let count = max(1, Int(bands))
        let bits = count * bitsPerBand
        let rows = Double(rows)
        let candidates =
            rows * rows / 2 * Double(count) * agreement.probability(bits: bitsPerBand)
        // Of a row in the pass over all vectors; in sorting one band; of a candidate.
        let signing = 2e-6 + Double(bits) * 10e-9
        let sorting = Double(count) * 60e-9
        let comparing = 10e-9 + Double(bits) / 64 * 1e-9
        let seconds = rows * (signing + sorting) + candidates * comparing
        return BandPlan(
            bitsPerBand: bitsPerBand, bands: count,
            largestDistance: largestDistance(bits: bits, agreement: p, loss: loss),
            seconds: seconds)
    }

    /// The smallest distance that is exceeded with a probability of at most `loss`, by the bound of
    /// Chernoff and Hoeffding on a binomial tail.
    private static func largestDistance(bits: Int, agreement: Double, loss: Double) -> Int {
        let q = min(max(1 - agreement, 1e-12), 1 - 1e-12)
        let count = Double(bits)
        func exponent(_ x: Double) -> Double {
            x * log(x / q)
                + (x < 1 ? (1 - x) * log((1 - x) / (1 - q)) : 0)
        }
        var distance = Int(count * q) + 1
        while distance < bits,
            count * exponent(Double(distance + 1) / count) < -log(loss)
        {
            distance += 1
        }
        return min(distance, bits)
    }
}
