// Memory to measure with: larger than caches, in pages of the size that the page cache has, and
// full of bits that are ordinary numbers to every codec.

#if canImport(Glibc)
    import Glibc
#endif

final class ScratchMemory: @unchecked Sendable {  // constant after init
    let bytes: UnsafeRawBufferPointer
    private static let mostBytes = 512 << 20
    /// Shares are multiples of this: what one measuring step reads at most.
    private static let unit = QueryBatch.rowBytes

    init(threads: Int) throws {
        let physical = max(0, sysconf(Int32(_SC_PHYS_PAGES))) * sysconf(Int32(_SC_PAGESIZE))
        let wanted = max(threads * Self.unit, min(Self.mostBytes, physical / 8))
        let count = wanted / Self.unit * Self.unit
        let start = mmap(
            nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let start, start != MAP_FAILED else {
            throw GradDBError(.io, "there are no \(count >> 20) MiB of memory to measure with")
        }
        madvise(start, count, Int32(MADV_NOHUGEPAGE))
        bytes = UnsafeRawBufferPointer(start: start, count: count)
        // Each thread fills its own part.
        nonisolated(unsafe) let words = UnsafeMutableRawBufferPointer(start: start, count: count)
            .bindMemory(to: UInt64.self)
        try Parallel.forEach(threads, threads: threads) { part, _ in
            let share = words.count / threads
            let first = part * share
            var random = SeededNumbers(seed: UInt64(part))
            for word in first..<(part == threads - 1 ? words.count : first + share) {
                // Each sixteen bits are a number from 0.5 to 2, as f16, as bf16, and as the upper
                // half of an f32.
                words[word] = random.next() & 0x807F_807F_807F_807F | 0x3F00_3F00_3F00_3F00
            }
        }
    }

    deinit { munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count) }

    /// One thread's part; the first thread alone sees all of it.
    func share(_ index: Int, of count: Int) -> UnsafeRawBufferPointer {
        let units = bytes.count / Self.unit / count
        let start = index * units * Self.unit
        return UnsafeRawBufferPointer(rebasing: bytes[start..<start + units * Self.unit])
    }
}

/// Numbers for benchmarks.
package struct SeededNumbers: RandomNumberGenerator {
    private var bits: SplitMix64

    package init(seed: UInt64) { bits = SplitMix64(state: seed &* 0xD134_2543_DE82_EF95) }

    package mutating func next() -> UInt64 { bits.next() }

    /// Standard normal (Box and Muller).
    package mutating func gaussian() -> Float {
        let word = next()
        let radius = (-2 * log((Float(word >> 40) + 1) * 0x1p-24)).squareRoot()
        return radius * cos(2 * .pi * Float(word & 0xFF_FFFF) * 0x1p-24)
    }

    package mutating func gaussians(_ count: Int) -> [Float] {
        var numbers: [Float] = []
        numbers.reserveCapacity(count)
        for _ in 0..<count { numbers.append(gaussian()) }
        return numbers
    }
}
