// Whatever the bytes of a table file are, looking for blocks in it neither crashes nor finds
// anything that was not stored: values that carry their own checksum are found whole, or fail it, or
// an error says where. Half of the changes are to what finds entries, with RocksDB's checksums made
// right again, so that the code behind them is reached.

import Foundation
import GradDB
import Testing

@Suite struct TableFileFuzzTests {
    private static let footerBytes = 53

    /// A file with blocks of very different sizes, and what is in it.
    private struct Sound {
        var bytes: [UInt8]
        let values: [[UInt8]: [UInt8]]
        /// Blocks that have a checksum behind them: index, properties, list of parts.
        let verified: [Range<Int>]
    }

    private static func sound(
        _ random: inout SeededRandom, _ directory: TemporaryDirectory, _ kernels: KernelSet
    ) throws -> Sound {
        let path = directory.file("sound.sst")
        let writer = try SSTWriter(path: path)
        var values: [[UInt8]: [UInt8]] = [:]
        for group in 0..<UInt32.random(in: 1...8, using: &random) {
            for slab in 0..<UInt32.random(in: 1...4, using: &random) {
                let key = BlockKey(
                    table: 1, segment: 7, rowGroup: group, encoding: 2, slab: slab
                ).bytes
                let limit = Bool.random(using: &random) ? 600 : 9_000
                let body = (0..<Int.random(in: 0...limit, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
                var value: [UInt8] = []
                value.append(littleEndian: (key + body).withUnsafeBytes { kernels.hash($0) })
                value += body
                values[key] = value
                try value.withUnsafeBytes { try writer.put(key, $0) }
            }
        }
        try writer.finish()
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        // The file ends with them, each with five bytes behind it: found by their checksums.
        var verified: [Range<Int>] = []
        var end = bytes.count - footerBytes
        while verified.count < 3, end > 5 {
            let stored = bytes[end - 4..<end].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            let start = (max(0, end - 5 - 4_000)..<end - 5).last { start in
                checksum(bytes[start..<end - 5], kernels) == stored
            }
            guard let start else { break }
            verified.append(start..<end - 5)
            end = start
        }
        return Sound(bytes: bytes, values: values, verified: verified)
    }

    private static func checksum(_ block: ArraySlice<UInt8>, _ kernels: KernelSet) -> UInt32 {
        UInt32(truncatingIfNeeded: block.withUnsafeBytes { kernels.hash($0) })
    }

    private static func change(
        _ bytes: inout [UInt8], in range: Range<Int>, _ random: inout SeededRandom
    ) {
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: range, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes[place] = [0, 1, 0x7F, 0x80, 0xFF].randomElement(using: &random) ?? 0
            default:
                let byte: UInt8 = Bool.random(using: &random) ? 0xFF : 0
                for other in place..<min(range.upperBound, place + 12) { bytes[other] = byte }
            }
        }
    }

    @Test func noBytesOfATableFileCrashOrAreTakenForABlock() throws {
        let seed = TestScale.seed(of: "fuzz of table files")
        var random = SeededRandom(seed: seed)
        let kernels = try KernelSet.chosen()
        let directory = TemporaryDirectory()
        let path = directory.file("000009.sst")
        let end = ContinuousClock.now + .seconds(TestScale.fuzzSeconds)
        var counts = (files: 0, found: 0, failed: 0, absent: 0, refused: 0)
        while ContinuousClock.now < end {
            let sound = try Self.sound(&random, directory, kernels)
            #expect(sound.verified.count == 3)
            let keys = sound.values.keys.sorted { $0.lexicographicallyPrecedes($1) }
            for _ in 0..<40 {
                var bytes = sound.bytes
                if let block = sound.verified.randomElement(using: &random),
                    Bool.random(using: &random)
                {
                    Self.change(&bytes, in: block, &random)
                    let sum = Self.checksum(bytes[block], kernels)
                    for place in 0..<4 {
                        bytes[block.upperBound + 1 + place] = UInt8(
                            truncatingIfNeeded: sum >> (8 * UInt32(place)))
                    }
                } else if Int.random(in: 0..<8, using: &random) == 0 {
                    bytes.removeLast(Int.random(in: 1..<bytes.count, using: &random))
                } else {
                    Self.change(&bytes, in: bytes.indices, &random)
                }
                try Data(bytes).write(to: URL(fileURLWithPath: path))
                counts.files += 1
                let files = try BlockFiles(
                    [
                        LiveFile(
                            family: "blocks", path: path, bytes: bytes.count, smallest: keys[0],
                            largest: keys[keys.count - 1])
                    ], tolerating: false)
                for key in keys {
                    do {
                        guard let found = try files.value(key) else {
                            counts.absent += 1
                            continue
                        }
                        let value = found.withBytes { [UInt8]($0) }
                        let isWhole =
                            value.count >= 8
                            && (key + value[8...]).withUnsafeBytes { kernels.hash($0) }
                                == value[..<8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
                        if isWhole {
                            counts.found += 1
                            #expect(value == sound.values[key], "seed \(seed)")
                        } else {
                            counts.failed += 1
                        }
                    } catch let error as GradDBError {
                        counts.refused += 1
                        #expect(error.kind == .corrupt, "seed \(seed): \(error)")
                        #expect(error.message.contains("000009.sst"), "seed \(seed): \(error)")
                    }
                }
            }
        }
        print("fuzz of table files: \(counts)")
        #expect(
            min(counts.found, counts.failed, counts.absent, counts.refused) > counts.files / 200)
    }
}
