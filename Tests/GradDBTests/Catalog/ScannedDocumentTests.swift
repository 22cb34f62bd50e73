// Documents that are read without JSONDecoder are what JSONDecoder would have read, whatever was
// written: the same values, or the same refusal.

import Foundation
import GradDB
import Testing

@Suite struct ScannedDocumentTests {
    private static let segments = [
        """
        {"checkpoint":2,"encodings":[{"bytes":131297280,"encoding":0},{"bytes":7,"encoding":3}],\
        "first_row":0,"last_row":1999,"row_groups":2,"rows":2000,"rows_per_group":1024,\
        "segment":3,"snapshots":[[3,7],[9]]}
        """,
        """
        {"base":3,"checkpoint":0,"encodings":[],"first_row":5,"last_row":9,"row_groups":1,\
        "rows":5,"rows_per_group":5,"segment":4,"snapshots":[[4]]}
        """,
    ]
    private static let snapshots = [
        """
        {"bytes":393891840,"checkpoint":2,"deleted":12,"hash":"0123456789abcdef",\
        "message":"größer","next_row":2000,"operation":"ingest","parent":2,"restored":1,\
        "segments":3,"snapshot":3,"sums":{"encodings":[{"encoding":0,\
        "sum":"fedcba9876543210"}],"records":"0000000000000001"},\
        "time":"2026-01-31T12:00:00.000Z"}
        """,
        """
        {"bytes":0,"deleted":0,"hash":"","message":"a \\"b\\"","next_row":0,\
        "operation":"restore","parent":0,"segments":0,"snapshot":1,\
        "sums":{"encodings":[],"records":"ffffffffffffffff"},"time":""}
        """,
    ]

    private func plain<D: Decodable>(_ bytes: [UInt8], as type: D.Type) -> D? {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try? decoder.decode(D.self, from: Data(bytes))
    }

    private func read<D: Decodable>(_ bytes: [UInt8], as type: D.Type) -> D? {
        bytes.withUnsafeBytes { try? DocumentJSON.decode($0, as: D.self, what: "a document") }
    }

    @Test func whatJSONDecoderReadsIsRead() throws {
        let seed = TestScale.seed(of: "fuzz of scanned documents")
        var mutator = Mutator(seed: seed)
        let end = ContinuousClock.now + .seconds(TestScale.fuzzSeconds)
        var counts = (read: 0, refused: 0)
        while ContinuousClock.now < end {
            for _ in 0..<50 {
                let index = mutator.below(2)
                // Often as it is: what nobody changed must be read at all.
                let isChanged = mutator.below(8) > 0
                if mutator.below(2) == 0 {
                    let sound = Array(Self.segments[index].utf8)
                    let bytes = isChanged ? mutator.json(sound) : sound
                    let right = plain(bytes, as: SegmentDocument.self)
                    #expect(isChanged || right != nil)
                    #expect(read(bytes, as: SegmentDocument.self) == right, "seed \(seed)")
                    counts.read += right == nil ? 0 : 1
                } else {
                    let sound = Array(Self.snapshots[index].utf8)
                    let bytes = isChanged ? mutator.json(sound) : sound
                    let right = plain(bytes, as: SnapshotDocument.self)
                    #expect(isChanged || right != nil)
                    #expect(read(bytes, as: SnapshotDocument.self) == right, "seed \(seed)")
                    counts.refused += right == nil ? 1 : 0
                }
            }
        }
        print("fuzz of scanned documents: \(counts)")
        #expect(min(counts.read, counts.refused) > 0)
    }
}
