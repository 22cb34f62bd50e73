// Progress in a file: what was written comes back, and nothing else is believed.

import GradDB
import GradDBQuery
import Testing

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

@Suite struct SelectionProgressTests {
    private let output =
        FileManager.default.temporaryDirectory.path + "/graddb-progress-\(UUID().uuidString)"
    private var path: String { output + ".progress" }

    @Test(arguments: [[], [7], [0, .max, 1 << 63]] as [[UInt64]])
    func numbersComeBack(numbers: [UInt64]) throws {
        var progress = try SelectionProgress(
            output: output, question: "a \"question\"\nof two lines")
        defer { try? progress.remove() }
        #expect(try progress.read() == nil)
        try progress.write { numbers }
        #expect(try progress.read() == numbers)
        try progress.remove()
        #expect(try progress.read() == nil)
        try progress.remove()
    }

    @Test func anotherQuestionIsRefused() throws {
        var progress = try SelectionProgress(output: output, question: "one")
        defer { try? progress.remove() }
        try progress.write { [1, 2] }
        let error = #expect(throws: GradDBError.self) {
            try SelectionProgress(output: output, question: "two").read()
        }
        #expect(error?.kind == .usage)
        #expect(try progress.read() == [1, 2])
    }

    @Test func everyFlippedByteAndEveryCutIsSeen() throws {
        var progress = try SelectionProgress(output: output, question: "one")
        defer { try? progress.remove() }
        try progress.write { [3, 4] }
        let bytes = try #require(FileManager.default.contents(atPath: path))
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x20
            #expect(throws: GradDBError.self) { try read(damaged, progress) }
            #expect(throws: GradDBError.self) { try read(bytes.prefix(index), progress) }
        }
        #expect(try read(bytes, progress) == [3, 4])
    }

    private func read(_ bytes: Data, _ progress: SelectionProgress) throws -> [UInt64]? {
        #expect(FileManager.default.createFile(atPath: path, contents: bytes))
        return try progress.read()
    }
}
