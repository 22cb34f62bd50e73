// How values are spread, in memory that does not depend on how many there are: they are counted in
// narrow bins, and a quantile is the middle of a bin.

/// Counts, sums and quantiles of cosines or ratios.
public struct Spread: Sendable {
    /// Into which bins values go.
    package enum Scale: Sendable {
        /// Bins of 0.0001 from -1.6 to 1.6: with few levels a cosine may exceed 1 (codecs.md).
        case cosine
        /// 1,024 bins for each doubling, from 2⁻³² to 2³².
        case ratio

        fileprivate var binCount: Int {
            switch self {
            case .cosine: 32_000
            case .ratio: 64 * 1024
            }
        }

        fileprivate func bin(_ value: Double) -> Int {
            switch self {
            case .cosine:
                return max(0, min(binCount - 1, Int(((value + 1.6) * 10_000).rounded(.down))))
            case .ratio:
                // Exponent and the first ten bits behind the point, of numbers above 0.
                let place = Int(value.bitPattern >> 42) - (1023 - 32) * 1024
                return value > 0 ? max(0, min(binCount - 1, place)) : 0
            }
        }

        fileprivate func middle(_ bin: Int) -> Double {
            switch self {
            case .cosine: return Double(2 * bin + 1 - binCount) / 20_000
            case .ratio:
                let bits = UInt64(bin + (1023 - 32) * 1024) << 42
                return Double(bitPattern: bits | 1 << 41)
            }
        }
    }

    private let scale: Scale
    private var bins: [Int] = []
    private var sum = 0.0
    public private(set) var count = 0
    /// The smallest and the largest value; nil where there is none.
    public private(set) var least: Double?
    public private(set) var greatest: Double?

    package init(_ scale: Scale) { self.scale = scale }

    package mutating func insert(_ value: Double) {
        if bins.isEmpty { bins = [Int](repeating: 0, count: scale.binCount) }
        bins[scale.bin(value)] += 1
        sum += value
        count += 1
        least = least.map { min($0, value) } ?? value
        greatest = greatest.map { max($0, value) } ?? value
    }

    /// In the order in which the values came; nil where there is none.
    public var mean: Double? { count > 0 ? sum / Double(count) : nil }

    /// The smallest value that at least this share of them does not exceed: of a cosine to 0.00005, of
    /// a ratio to a thousandth. Nil where there is none.
    public func quantile(_ share: Double) -> Double? {
        guard let least, let greatest else { return nil }
        let rank = max(1, min(count, Int((share * Double(count)).rounded(.up))))
        var seen = 0
        for (bin, inside) in bins.enumerated() {
            seen += inside
            if seen >= rank { return max(least, min(greatest, scale.middle(bin))) }
        }
        return greatest
    }
}

/// How many cosines lie in each tenth from -1 to 1.
public struct CosineHistogram: Sendable {
    /// Bin i has the cosines from (i - 10) / 10 on and below (i - 9) / 10; the first and the last also
    /// have what is beyond them.
    public private(set) var counts = [Int](repeating: 0, count: 20)

    /// The bins' lower edges, and the upper one of the last.
    public static let edges = (0...20).map { Double($0 - 10) / 10 }

    package init() {}

    package mutating func insert(_ cosine: Double) {
        var bin = max(0, min(19, Int((cosine * 10).rounded(.down)) + 10))
        // The product is rounded; the edges are what counts.
        if bin > 0, cosine < Self.edges[bin] { bin -= 1 }
        if bin < 19, cosine >= Self.edges[bin + 1] { bin += 1 }
        counts[bin] += 1
    }
}
