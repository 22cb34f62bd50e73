import Foundation
import GradDB
import Testing

@Suite struct SnapshotRangesTests {
    /// A history, and what it should be, number by number.
    private func history(seed: UInt64) -> (ranges: SnapshotRanges, has: [Bool]) {
        var random = SplitMix64(state: seed)
        let first = Int(random.next() % 5)
        var ranges = SnapshotRanges(from: UInt64(first))
        var has = [Bool](repeating: false, count: first)
        var isThere = true
        for snapshot in first..<30 {
            if snapshot > first, random.next() % 3 == 0 {
                isThere.toggle()
                ranges.set(isThere, from: UInt64(snapshot))
                ranges.set(isThere, from: UInt64(snapshot))
            }
            has.append(isThere)
        }
        return (ranges, has)
    }

    @Test(arguments: 0..<50 as Range<UInt64>) func theyAreWhatWasSet(seed: UInt64) throws {
        let (ranges, has) = history(seed: seed)
        for (snapshot, isThere) in has.enumerated() {
            #expect(ranges.contains(UInt64(snapshot)) == isThere)
        }
        #expect(ranges.isOpen == has.last)
        #expect(ranges.first == UInt64(has.firstIndex(of: true) ?? -1))
        let json = try JSONEncoder().encode(ranges)
        #expect(try JSONDecoder().decode(SnapshotRanges.self, from: json) == ranges)
        var random = SplitMix64(state: seed + 100)
        let some = has.indices.filter { _ in random.next() % 6 == 0 }
        #expect(
            ranges.containsAny(of: some.map { UInt64($0) })
                == some.contains { has[$0] })
        let (others, hasOther) = history(seed: seed + 1000)
        let both = zip(has, hasOther).map { $0 && $1 }
        let common = ranges.intersection(others)
        for (snapshot, isThere) in both.enumerated() {
            #expect((common?.contains(UInt64(snapshot)) ?? false) == isThere)
        }
    }

    @Test(arguments: [
        "[]", "[[3,3]]", "[[5,4]]", "[[1,4],[3]]", "[[1],[3]]", "[[1,2,3]]", "[[-1]]", "[[]]", "7",
    ])
    func whatIsNoHistoryIsRefused(json: String) {
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode(SnapshotRanges.self, from: Data(json.utf8))
        }
    }
}

@Suite struct DeletedRowsTests {
    @Test(arguments: 0..<20 as Range<UInt64>) func theyAreASet(seed: UInt64) {
        var random = SplitMix64(state: seed)
        var rows = DeletedRows()
        var expected: Set<UInt64> = []
        for _ in 0..<40 {
            if random.next() % 4 == 0 {
                let first = random.next() % 200_000
                let range = first..<first + random.next() % 1000
                rows.insert(range)
                expected.formUnion(range)
            } else {
                let row = random.next() % 200_000
                #expect(rows.insert(row) == expected.insert(row).inserted)
            }
        }
        #expect(rows.count == expected.count)
        var listed: [UInt64] = []
        rows.forEachRow { listed.append($0) }
        #expect(listed == expected.sorted())
        let live = rows.liveRows(below: 150_000)
        for row in stride(from: 0 as UInt64, to: 150_100, by: 7) {
            #expect(live.contains(row) == (row < 150_000 && !expected.contains(row)))
            #expect(rows.contains(row) == expected.contains(row))
        }
        var other = DeletedRows()
        other.insert(10_000..<90_000)
        rows.formIntersection(other)
        #expect(rows.count == expected.count { (10_000..<90_000).contains($0) })
    }
}
