// The standard normal distribution, for intervals of a given probability.

#if canImport(Glibc)
    import Glibc
#endif

package enum NormalDistribution {
    /// P(Z > z).
    package static func upperTail(_ z: Double) -> Double { erfc(z / 2.0.squareRoot()) / 2 }

    /// The z with P(Z > z) = `probability`, which is above 0 and at most 1/2.
    package static func quantile(upperTail probability: Double) -> Double {
        // The tail falls monotonically: bisection is exact to the last bits, and it is not called
        // often.
        var low = 0.0
        var high = 40.0
        while true {
            let middle = (low + high) / 2
            guard middle > low, middle < high else { return high }
            if upperTail(middle) > probability { low = middle } else { high = middle }
        }
    }
}
