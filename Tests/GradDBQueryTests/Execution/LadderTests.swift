// Which passes there are to estimate scores from, for layers with several encodings.

import Foundation
import GradDB
import GradDBQuery
import Testing

@Suite struct LadderTests {
    private typealias Layers = [TableSchema.LayerSchema]

    private func ladder(_ layers: Layers, _ accuracy: String = "CONFIDENCE 0.9") throws -> Ladder {
        let directory = NSTemporaryDirectory() + "graddb-ladder-" + UUID().uuidString
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Database.create(at: directory + "/db")
        _ = try DatabaseWriter(path: directory + "/db").createTable(
            TableSchema(name: "t", layers: layers))
        // One query of ones, as a safetensors file.
        var parts: [String] = []
        var data = Data()
        for layer in layers {
            let start = data.count
            for _ in 0..<layer.dims {
                withUnsafeBytes(of: Float(1).bitPattern.littleEndian) {
                    data.append(contentsOf: $0)
                }
            }
            parts.append(
                "\"\(layer.name)\":{\"dtype\":\"F32\",\"shape\":[1,\(layer.dims)],"
                    + "\"data_offsets\":[\(start),\(data.count)]}")
        }
        let header = Data("{\(parts.joined(separator: ","))}".utf8)
        var file = withUnsafeBytes(of: UInt64(header.count).littleEndian) { Data($0) }
        file.append(header)
        file.append(data)
        try file.write(to: URL(fileURLWithPath: directory + "/q.safetensors"))
        var options = QueryOptions()
        options.parameters["q"] = directory + "/q.safetensors"
        let engine = QueryEngine(try Database(path: directory + "/db"), options: options)
        let prepared = try engine.prepare(script: "FROM t SCORE dot TO $q TOP 1 \(accuracy);")
        return try Ladder(try #require(prepared.first).query)
    }

    private static let cases: [(layers: Layers, rungs: [String])] = [
        ([.init(name: "a", dims: 4096, codec: .int8)], []),
        ([.init(name: "a", dims: 8192, codec: .int8)], ["int8 1/2"]),
        (
            [.init(name: "a", dims: 65536, codec: .int8)],
            ["int8 1/16", "int8 1/8", "int8 1/4", "int8 1/2"]
        ),
        ([.init(name: "a", dims: 65536, codec: .f32)], []),
        ([.init(name: "a", dims: 65536, codecs: [.f32, .f16])], []),
        ([.init(name: "a", dims: 1000, codecs: [.f16, .bit])], ["bit"]),
        ([.init(name: "a", dims: 8192, codecs: [.int8, .bit])], ["bit"]),
        ([.init(name: "a", dims: 32768, codec: .bit)], []),
        ([.init(name: "a", dims: 65536, codec: .bit)], ["bit 1/2"]),
    ]

    @Test func rungsArePrefixesAndCoarserCodecs() throws {
        for (layers, rungs) in Self.cases {
            #expect(try ladder(layers).rungs.map(\.label) == rungs)
        }
    }

    @Test func eachRungReadsMoreThanTheOneBeforeAndErrsLess() throws {
        let tables: [Layers] = [
            [.init(name: "a", dims: 65536, codecs: [.f32, .int8, .int4, .bit])],
            [.init(name: "a", dims: 49152, codecs: [.bf16, .int8, .bit])],
            [
                .init(name: "a", dims: 20000, codecs: [.int8, .bit]),
                .init(name: "b", dims: 300, codec: .f32),
                .init(name: "c", dims: 16384, codecs: [.f16, .int4]),
            ],
        ]
        for layers in tables {
            let ladder = try ladder(layers)
            #expect(!ladder.rungs.isEmpty)
            for (rung, next) in zip(ladder.rungs, ladder.rungs.dropFirst()) {
                #expect(rung.rowBytes < next.rowBytes && rung.noise > next.noise)
            }
            for rung in ladder.rungs {
                #expect(rung.noise > 0 && 4 * rung.rowBytes <= 3 * ladder.exact.rowBytes)
                #expect(rung.columns.map(\.layer.name) == layers.map(\.name))
                #expect(rung.columns.map(\.target) == ladder.exact.columns.map(\.target))
            }
            #expect(ladder.exact.noise == 0 && ladder.exact.share == 1)
        }
    }

    @Test func theExactScanReadsTheFinestEncodingWhole() throws {
        let layers: Layers = [
            .init(name: "a", dims: 20000, codecs: [.bit, .int8]),
            .init(name: "b", dims: 3000, codecs: [.f16, .bit]),
        ]
        for accuracy in ["EXACT", "CONFIDENCE 0.9", "BUDGET 1s"] {
            let exact = try ladder(layers, accuracy).exact
            #expect(exact.columns.map(\.encoding.codec) == [.int8, .f16])
            #expect(exact.columns.map(\.slabs) == [5, 2])
            #expect(exact.rowBytes == 26000)
        }
        #expect(try ladder(layers, "EXACT").rungs.allSatisfy { $0.tier == 0 })
    }

    @Test func layersOfFloatsAreReadWholeBesideOthers() throws {
        let layers: Layers = [
            .init(name: "a", dims: 20000, codec: .int8), .init(name: "b", dims: 3000, codec: .f32),
        ]
        for rung in try ladder(layers).rungs { #expect(rung.columns[1].slabs == 3) }
    }
}
