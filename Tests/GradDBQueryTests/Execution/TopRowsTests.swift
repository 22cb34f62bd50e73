import GradDB
import GradDBQuery
import Testing

@Suite struct TopRowsTests {
    @Test(arguments: [1, 2, 3, 10, 99, 100, 1000])
    func keepsWhatSortingEverythingWould(limit: Int) {
        var seed: UInt64 = 7
        func random(below limit: UInt64) -> UInt64 {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return (seed >> 33) % limit
        }
        // Few distinct scores: ties at every cut.
        let rows = (0..<UInt64(100)).map { (score: Double(random(below: 8)), row: $0) }
        for end in [RankingEnd.top, .bottom] {
            let expected = rows.sorted {
                $0.score != $1.score
                    ? ($0.score > $1.score) == (end == .top) : $0.row < $1.row
            }.prefix(limit)
            // Two halves in any order, merged: as two threads would leave them.
            var first = TopRows(end, limit: limit)
            var second = TopRows(end, limit: limit)
            for (index, row) in rows.reversed().enumerated() {
                if index % 3 == 0 {
                    first.insert(row.score, row.row)
                } else {
                    second.insert(row.score, row.row)
                }
            }
            first.merge(second)
            #expect(first.ranked().map(\.row) == expected.map(\.row))
        }
    }
}
