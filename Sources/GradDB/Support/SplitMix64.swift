// Numbers that are the same at every run: signs of rotations, samples of rows, data of benchmarks.

/// splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014, with
/// Stafford's constants), whose first numbers are as good as its last.
package struct SplitMix64: RandomNumberGenerator {
    package static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    private var state: UInt64

    package init(state: UInt64) { self.state = state }

    package mutating func next() -> UInt64 {
        state &+= Self.increment
        return Self.mix(state)
    }

    /// The finaliser: any number of the sequence can be had by itself.
    package static func mix(_ state: UInt64) -> UInt64 {
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
