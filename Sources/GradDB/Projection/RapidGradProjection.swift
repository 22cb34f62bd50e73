// RapidGrad, which shuffles a whole gradient by permutations of rows and columns and adds up
// neighbours (Lin et al. 2024, arXiv 2405.11724). The vector is never shuffled here: where an
// element ends up can be told from the permutations, so that a gradient may come in pieces.

import Synchronization

struct RapidGradProjection: ElementProjection {
    let dims: Int
    let factor: Float = 1
    var step: Int { Self.usualStep }
    private let places: Places

    init(_ document: ProjectorDocument, _ tensors: [ProjectorDocument.Tensor]) throws {
        dims = document.dims
        places = try Places(
            dims: document.dims, rounds: document.rounds ?? 0, seed: document.seed,
            counts: tensors.map { ProjectorDocument.elementCount($0.shape) ?? 0 })
    }

    func add(
        _ elements: UnsafeBufferPointer<Float>, from first: Int, ofTensor tensor: Int,
        to sums: UnsafeMutablePointer<Float>
    ) {
        let start = places.offsets[tensor] + first
        if let table = places.table() {
            for (i, element) in elements.enumerated() {
                let place = table[start + i]
                sums[Int(place >> 1)] += place & 1 == 1 ? -element : element
            }
        } else {
            for (i, element) in elements.enumerated() {
                let place = places.place(of: start + i)
                sums[place.sum] += place.isNegated ? -element : element
            }
        }
    }

    /// Where every element of the concatenated tensors goes.
    private final class Places: Sendable {
        /// Up to so many elements, places are looked up (4 bytes each) and not worked out anew.
        private static let tableLimit = 1 << 26
        /// Permutations of more rows than this would not be tables any more.
        private static let rowLimit = 1 << 31

        /// Of the tensors in the concatenation.
        let offsets: [Int]
        private let count: Int
        private let rows: Int
        private let width: Int
        private let elementsPerSum: Int
        private let signKey: UInt64
        /// For each round, where rows go, and where columns go.
        private let rowTargets: [[UInt32]]
        private let columnTargets: [[UInt32]]
        private let tableOnce = Mutex<[UInt32]?>(nil)

        init(dims: Int, rounds: Int, seed: UInt64, counts: [Int]) throws {
            var offsets: [Int] = []
            var total = 0
            for count in counts {
                offsets.append(total)
                total += count
            }
            self.offsets = offsets
            count = (total + dims - 1) / dims * dims
            rows = Self.largestDivisor(of: count)
            guard rows < Self.rowLimit else {
                throw GradDBError.badInput("a rapidgrad of \(total) elements is not possible")
            }
            width = count / max(1, rows)
            elementsPerSum = max(1, count / dims)
            signKey = SplitMix64.mix(seed ^ 1)
            let key = SplitMix64.mix(seed)
            var next: UInt64 = 0
            var rowTargets: [[UInt32]] = []
            var columnTargets: [[UInt32]] = []
            for _ in 0..<rounds {
                rowTargets.append(Self.targets(rows, key, &next))
                columnTargets.append(Self.targets(rows, key, &next))
            }
            self.rowTargets = rowTargets
            self.columnTargets = columnTargets
        }

        /// Which accumulator an element is added to, and with which sign.
        func place(of element: Int) -> (sum: Int, isNegated: Bool) {
            var at = element
            for round in rowTargets.indices {
                let row = at / width
                at = Int(rowTargets[round][row]) * width + (at - row * width)
                let line = at / rows
                at = line * rows + Int(columnTargets[round][at - line * rows])
            }
            let word = RandomWords.word(signKey, UInt64(at / 64))
            return (at / elementsPerSum, word >> UInt64(at % 64) & 1 == 1)
        }

        /// All places, twice the sum's number plus 1 where negated; nil for too many.
        func table() -> [UInt32]? {
            guard count <= Self.tableLimit else { return nil }
            return tableOnce.withLock { table in
                if let table { return table }
                let made = (0..<count).map { element in
                    let place = place(of: element)
                    return UInt32(place.sum) << 1 | (place.isNegated ? 1 : 0)
                }
                table = made
                return made
            }
        }

        /// The largest divisor of `n` that is at most its square root; 1 for 0.
        private static func largestDivisor(of n: Int) -> Int {
            guard n > 0 else { return 1 }
            var root = Int(Double(n).squareRoot())
            while root * root > n { root -= 1 }
            while (root + 1) * (root + 1) <= n { root += 1 }
            while n % root != 0 { root -= 1 }
            return root
        }

        /// Where row i goes: the inverse of the permutation that says where row i comes from.
        private static func targets(_ n: Int, _ key: UInt64, _ next: inout UInt64) -> [UInt32] {
            var sources = (0..<UInt32(n)).map { $0 }
            for i in stride(from: n - 1, to: 0, by: -1) {
                let word = RandomWords.word(key, next)
                next += 1
                sources.swapAt(i, Int(RandomWords.below(word, UInt64(i + 1))))
            }
            var targets = [UInt32](repeating: 0, count: n)
            for (target, source) in sources.enumerated() {
                targets[Int(source)] = UInt32(target)
            }
            return targets
        }
    }
}
