// Pairs of rows whose signatures agree in a band: band by band, rows are sorted by their bits in it,
// and those with equal ones meet. A pair is given in the first band that both agree in, and only
// there, so none has to be remembered.

import GradDB

struct BandJoin: Sendable {
    let plan: BandPlan
    let signatures: LargeMemory
    /// Words of one signature; they lie in the order of `rows`.
    let words: Int
    /// What the signatures belong to: ordinals, ascending; and which of them are looked at.
    let rows: [Int]
    let isKept: [Bool]

    struct Pair: Sendable, Hashable, Comparable {
        var first: Int
        var second: Int

        static func < (left: Pair, right: Pair) -> Bool {
            (left.first, left.second) < (right.first, right.second)
        }
    }

    /// Rows that are sorted at a time.
    private static let mostEntries = 1 << 22
    /// Pairs that a thread keeps before it hands them on.
    private static let mostPairs = 1 << 14

    /// Calls `body` with pairs of ordinals, the smaller one first, from any thread.
    func forEachRun(
        threads: Int, _ cancellation: Cancellation,
        progress: @escaping @Sendable (_ share: Double) -> Void,
        body: @escaping @Sendable ([Pair]) throws -> Void
    ) throws {
        let parts = rows.count / Self.mostEntries + 1
        try Parallel.forEach(plan.bands * parts, threads: threads) { turn, _ in
            try cancellation.check()
            try join(
                band: turn / parts, part: UInt64(turn % parts), of: UInt64(parts), cancellation,
                body)
            progress(Double(turn + 1) / Double(plan.bands * parts))
        }
    }

    private struct Entry {
        var key: UInt64
        var position: Int
    }

    private func join(
        band: Int, part: UInt64, of parts: UInt64, _ cancellation: Cancellation,
        _ body: ([Pair]) throws -> Void
    ) throws {
        var entries: [Entry] = []
        entries.reserveCapacity(rows.count / Int(parts) + 1)
        for position in rows.indices where isKept[position] {
            let key = SplitMix64.mix(key(position, band))
            if parts == 1 || key % parts == part {
                entries.append(Entry(key: key, position: position))
            }
        }
        entries.sort { ($0.key, $0.position) < ($1.key, $1.position) }
        var pairs: [Pair] = []
        var start = 0
        while start < entries.count {
            var end = start + 1
            while end < entries.count, entries[end].key == entries[start].key { end += 1 }
            for i in start..<end {
                if (i - start) % 256 == 255 { try cancellation.check() }
                for j in i + 1..<max(i + 1, end) {
                    let first = entries[i].position
                    let second = entries[j].position
                    guard isNear(first, second), isFirst(band, first, second) else { continue }
                    pairs.append(Pair(first: rows[first], second: rows[second]))
                }
                if pairs.count >= Self.mostPairs {
                    try body(pairs)
                    pairs.removeAll(keepingCapacity: true)
                }
            }
            start = end
        }
        if !pairs.isEmpty { try body(pairs) }
    }

    /// The bits of a band.
    private func key(_ position: Int, _ band: Int) -> UInt64 {
        let first = band * plan.bitsPerBand
        let word = position * words + first / 64
        let shift = UInt64(first % 64)
        var bits = signatures.words[word] >> shift
        if first % 64 + plan.bitsPerBand > 64 { bits |= signatures.words[word + 1] << (64 - shift) }
        return bits & (1 << UInt64(plan.bitsPerBand) - 1)
    }

    private func isFirst(_ band: Int, _ first: Int, _ second: Int) -> Bool {
        !(0..<band).contains { key(first, $0) == key(second, $0) }
    }

    private func isNear(_ first: Int, _ second: Int) -> Bool {
        var distance = 0
        for word in 0..<words {
            distance +=
                (signatures.words[first * words + word] ^ signatures.words[second * words + word])
                .nonzeroBitCount
            if distance > plan.largestDistance { return false }
        }
        return true
    }
}
