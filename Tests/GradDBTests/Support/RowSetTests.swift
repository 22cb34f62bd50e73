import GradDB
import Testing

@Suite struct RowSetTests {
    @Test func anEmptySetHasNothing() {
        #expect(RowSet().count == 0)
        #expect(!RowSet().contains(0))
        #expect(!RowSet(rowCount: 100).contains(99))
        #expect(!RowSet(rowCount: 100).contains(1 << 40))
    }

    @Test(arguments: [0, 1, 63, 64, 65, 1000] as [UInt64]) func allBelowANumber(count: UInt64) {
        let rows = RowSet.all(below: count)
        #expect(rows.count == Int(count))
        #expect((0..<1100).allSatisfy { rows.contains($0) == ($0 < count) })
    }

    /// Against Swift's own set, with single rows and runs that begin and end anywhere.
    @Test(arguments: 0..<20) func isASet(seed: UInt64) {
        var random = SplitMix64(state: seed)
        var rows = seed % 2 == 0 ? RowSet() : RowSet(rowCount: random.next() % 500)
        var oracle: Set<UInt64> = []
        for _ in 0..<40 {
            let first = random.next() % 700
            if random.next() % 2 == 0 {
                #expect(rows.insert(first) == oracle.insert(first).inserted)
            } else {
                let mask = (0..<random.next() % 200).map { _ in random.next() % 3 == 0 }
                rows.insert(mask[...], from: first)
                for (index, isMember) in mask.enumerated() where isMember {
                    oracle.insert(first + UInt64(index))
                }
            }
        }
        #expect(rows.count == oracle.count)
        #expect((0..<1200).allSatisfy { rows.contains($0) == oracle.contains($0) })
    }
}
