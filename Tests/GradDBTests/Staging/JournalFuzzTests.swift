// Whatever the journal of a rank, or the description of a staged ingest, says: listing what is staged
// and checking it says that it is broken, or takes it, and crashes nothing. The hashes of lines are
// made right again for the most part, so that what is behind them is reached.

import Foundation
import GradDB
import Testing

@Suite struct JournalFuzzTests {
    @Test func noJournalCrashesWhatReadsIt() throws {
        let scene = try StagedScene()
        let writer = try scene.writer(rank: 0, of: 2)
        try scene.push(0..<8, to: writer)
        try writer.flush()
        try scene.push(8..<14, to: writer)
        try writer.close()
        let directory = scene.database.path + "/staged/0000000000000001"
        let paths = [directory + "/rank-00000/journal", directory + "/ingest.json"]
        let sound = try paths.map { [UInt8](try Data(contentsOf: URL(fileURLWithPath: $0))) }

        let seed = TestScale.seed(of: "fuzz of journals")
        var mutator = Mutator(seed: seed)
        let end = ContinuousClock.now + .seconds(TestScale.fuzzSeconds)
        var counts = (taken: 0, refused: 0)
        while ContinuousClock.now < end {
            let which = mutator.below(4) == 0 ? 1 : 0
            let bytes =
                which == 1 ? mutator.json(sound[1]) : try Self.journal(sound[0], &mutator)
            try Data(bytes).write(to: URL(fileURLWithPath: paths[which]))
            do {
                let staged = try StagedIngest.list(database: scene.database.path)
                let isWhole = staged.allSatisfy { $0.problem == nil }
                counts.taken += isWhole ? 1 : 0
                counts.refused += isWhole ? 0 : 1
            } catch let error as GradDBError {
                counts.refused += 1
                #expect(
                    error.kind == .corrupt || error.kind == .formatTooNew,
                    "seed \(seed): \(error)")
            }
            let report = try Check(
                try Database(path: scene.database.path), deep: mutator.below(2) == 0, threads: 1
            ).run()
            #expect(report.problems.allSatisfy { $0.kind == .staged }, "seed \(seed)")
            try Data(sound[which]).write(to: URL(fileURLWithPath: paths[which]))
        }
        print("fuzz of journals: \(counts)")
        #expect(min(counts.taken, counts.refused) > 0)
    }

    /// Lines that are changed, or come in another order.
    private static func journal(_ sound: [UInt8], _ mutator: inout Mutator) throws -> [UInt8] {
        guard mutator.below(3) > 0 else { return mutator.bytes(sound) }
        let kernels = try KernelSet.chosen()
        var lines = sound.split(separator: 10).map { [UInt8]($0.dropLast(17)) }
        let index = mutator.below(lines.count)
        switch mutator.below(4) {
        case 0: lines.swapAt(index, mutator.below(lines.count))
        case 1: lines.insert(lines[index], at: mutator.below(lines.count))
        default: lines[index] = mutator.json(lines[index])
        }
        return lines.flatMap { line in
            let hash = String(line.withUnsafeBytes { kernels.hash($0) }, radix: 16)
            let digits = String(repeating: "0", count: 16 - hash.count) + hash
            return line + Array(" \(digits)\n".utf8)
        }
    }
}
