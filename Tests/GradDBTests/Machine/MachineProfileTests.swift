// What bench keeps, the planner finds, on the machine that it was measured on; anything else is as
// good as nothing.

import Foundation
import GradDB
import Testing

@Suite struct MachineProfileTests {
    private let directory = TemporaryDirectory()
    private var path: String { directory.file("cache/graddb/machine.json") }

    private func profile(threads: Int, memory: Double) throws -> MachineProfile {
        var profile = MachineProfile(
            key: try MachineKey.current(threads: threads), measured: "2026-01-31T12:00:00.000Z")
        profile.memoryRead = Rate(one: memory, all: 2 * memory)
        profile[.int8].batch16 = Rate(one: 200, all: 400)
        return profile
    }

    @Test func whatWasStoredIsLoaded() throws {
        let stored = try profile(threads: 2, memory: 20)
        try stored.store(at: path)
        #expect(MachineProfile.load(threads: 2, from: path) == stored)
        #expect(MachineProfile.load(threads: 2, from: path)?[.bit] == CodecRates())
    }

    @Test func eachNumberOfThreadsHasItsOwnAndTheNewestCounts() throws {
        try profile(threads: 1, memory: 10).store(at: path)
        try profile(threads: 2, memory: 20).store(at: path)
        try profile(threads: 1, memory: 11).store(at: path)
        #expect(MachineProfile.load(threads: 1, from: path)?.memoryRead.one == 11)
        #expect(MachineProfile.load(threads: 2, from: path)?.memoryRead.one == 20)
        #expect(MachineProfile.load(threads: 3, from: path) == nil)
    }

    @Test(arguments: ["", "{", "[]", #"{"format": 2, "profiles": []}"#, #"{"format": 1}"#])
    func aFileThatIsNotOursIsNone(content: String) throws {
        let path = directory.file("machine.json")
        try Data(content.utf8).write(to: URL(filePath: path))
        #expect(MachineProfile.load(threads: 2, from: path) == nil)
    }

    @Test func aMissingFileADirectoryAndNoPathAreNone() {
        #expect(MachineProfile.load(threads: 2, from: path) == nil)
        #expect(MachineProfile.load(threads: 2, from: directory.path) == nil)
        #expect(MachineProfile.load(threads: 2, from: nil) == nil)
    }

    @Test func aPlaceThatCannotBeWrittenIsAnIOError() throws {
        let stored = try profile(threads: 2, memory: 20)
        #expect(throws: GradDBError.self) { try stored.store(at: "/proc/graddb/machine.json") }
        #expect(throws: GradDBError.self) { try stored.store(at: nil) }
    }
}
