// Memory that is a file behaves as memory that is not.

import GradDB
import Testing

@Suite struct LargeMemoryTests {
    @Test(arguments: [0, 1 << 30])
    func wordsAreZeroedAndKeepWhatIsWritten(memoryBytes: Int) throws {
        let memory = try LargeMemory(words: 100_000, memoryBytes: memoryBytes)
        #expect(memory.words.count == 100_000)
        #expect(memory.words.allSatisfy { $0 == 0 })
        for index in memory.words.indices { memory.words[index] = UInt64(index) &* 0x9E37 }
        #expect(memory.words.indices.allSatisfy { memory.words[$0] == UInt64($0) &* 0x9E37 })
    }

    @Test func noWordsAreNoFailure() throws {
        #expect(try LargeMemory(words: 0, memoryBytes: 0).words.isEmpty)
    }
}
