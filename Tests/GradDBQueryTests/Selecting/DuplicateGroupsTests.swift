// Disjoint sets against sets.

import GradDB
import GradDBQuery
import Testing

@Suite struct DuplicateGroupsTests {
    @Test func groupsAreThoseOfSetsThatAreJoined() {
        for seed in 0..<50 as Range<UInt64> {
            var random = SplitMix64(state: seed)
            let count = 60
            var groups = DuplicateGroups(rowCount: count)
            var sets = (0..<count).map { Set([$0]) }
            var pairs: [(Int, Int, Double)] = []
            for _ in 0..<Int(random.next() % 50) {
                let first = Int(random.next() % UInt64(count))
                let second = (first + 1 + Int(random.next() % UInt64(count - 1))) % count
                let cosine = 0.5 + Double(random.next() % 1_000) / 2_000
                groups.connect(first, second, cosine: cosine, count: 3)
                pairs.append((first, second, cosine))
                let joined = sets[first].union(sets[second])
                for row in joined { sets[row] = joined }
            }
            let expected = Set(sets.filter { $0.count > 1 })
            let found = groups.groups()
            #expect(Set(found.map { Set($0.rows) }) == expected)
            #expect(groups.pairs == 3 * pairs.count)
            for group in found {
                let inside = pairs.filter { group.rows.contains($0.0) }.map(\.2)
                #expect(group.rows == group.rows.sorted())
                #expect(group.cosines.lowest == inside.min())
                #expect(group.cosines.highest == inside.max())
            }
        }
    }
}
