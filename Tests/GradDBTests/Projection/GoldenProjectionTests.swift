// The golden files of format-spec/vectors/projectors, which another implementation has written.

import Foundation
import GradDB
import Testing

struct GoldenProjectionTests {
    static let directory = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().appending(path: "../../../format-spec/vectors/projectors")

    struct Case: Decodable {
        var projector: ProjectorDocument
        var hash: String
        var input: String
        var output: String
    }

    static let cases: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? [])
        .filter { $0.hasSuffix(".json") }.sorted()

    @Test func thereAreCasesOfEveryKind() {
        for kind in ProjectorDocument.Kind.allCases {
            #expect(Self.cases.contains { $0.hasPrefix(kind.rawValue) })
        }
    }

    @Test(arguments: cases)
    func theVectorsAreThoseOfTheFile(name: String) throws {
        func path(_ file: String) -> String { Self.directory.appending(path: file).path }
        let golden = try JSONDecoder().decode(
            Case.self, from: Data(contentsOf: Self.directory.appending(path: name)))
        try golden.projector.validate()
        #expect(golden.projector.hash == golden.hash)
        let kernels = try KernelSet.chosen()
        let raw = RawRows(try TensorFile(safetensors: path(golden.input)))
        let assigned = try raw.assign(golden.projector.withoutTensors, layer: "grad")
        #expect(assigned.hash == golden.hash)
        let output = try TensorFile(safetensors: path(golden.output))
        let rows = try raw.count(of: (assigned.tensors ?? []).map(\.name))
        let dims = golden.projector.dims
        let expected = UnsafeMutableBufferPointer<Float>.aligned(count: rows * dims)
        let vectors = UnsafeMutableBufferPointer<Float>.aligned(count: rows * dims)
        defer {
            expected.deallocate()
            vectors.deallocate()
        }
        try output.read(
            tensor: "grad", rows: 0..<rows, into: UnsafeMutableRawBufferPointer(expected))
        let projection = RowProjection(
            raw, [try Projector(assigned, kernels: kernels)], threads: 2)
        try projection.project(0..<rows, into: [vectors])
        for row in 0..<rows {
            let range = row * dims..<(row + 1) * dims
            let error = ProjectionOracle.error(
                Array(vectors[range]), expected[range].map(Double.init))
            #expect(error < 1e-5, "row \(row)")
        }
    }
}
