// What is kept beside a store: made once while there is room, and never more than that.

import GradDB
import Testing

@Suite struct KeptValuesTests {
    @Test func aValueIsMadeOnceAndTheOneAskedForLeastRecentlyGoes() throws {
        let kept = KeptValues()
        var made: [UInt8] = []
        func value(_ key: UInt8) throws -> Int {
            // Two of these have room, three do not.
            try kept.value([key], bytes: 400 << 20) {
                made.append(key)
                return Int(key)
            }
        }
        for key: UInt8 in [1, 1, 2, 1, 3, 1, 2, 3] { #expect(try value(key) == Int(key)) }
        #expect(made == [1, 2, 3, 2, 3])
    }

    @Test func whatIsLargerThanAllRoomIsKeptAlone() throws {
        let kept = KeptValues()
        var made = 0
        for _ in 0..<2 {
            _ = try kept.value([1], bytes: 3 << 30) {
                made += 1
                return "large"
            }
        }
        #expect(made == 1)
    }

    @Test func aFailureKeepsNothing() throws {
        let kept = KeptValues()
        #expect(throws: GradDBError.self) {
            try kept.value([1], bytes: 8) { throw GradDBError(.failed, "no") } as Int
        }
        #expect(try kept.value([1], bytes: 8) { 5 } == 5)
    }
}
