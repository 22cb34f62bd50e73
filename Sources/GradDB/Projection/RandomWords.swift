// The random words that all choices of a projector come from: splitmix64 as a function of a
// counter, see format-spec/projectors.md.

enum RandomWords {
    /// The j-th word of a stream.
    static func word(_ key: UInt64, _ j: UInt64) -> UInt64 {
        SplitMix64.mix(key &+ (j &+ 1) &* SplitMix64.increment)
    }

    /// A number below `n`, which is below 2^32.
    static func below(_ word: UInt64, _ n: UInt64) -> UInt64 { ((word >> 32) &* n) >> 32 }

    /// The i-th stream of a tensor.
    static func key(seed: UInt64, tensor: String, _ i: UInt64, _ kernels: KernelSet) -> UInt64 {
        let name = Array(tensor.utf8).withUnsafeBytes { kernels.hash($0) }
        return word(SplitMix64.mix(seed ^ name), i)
    }
}
