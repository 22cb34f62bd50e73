// A gradient that comes in pieces: what it becomes depends on nothing but the gradient.

import GradDB
import Testing

struct ProjectionStreamTests {
    static let row: [String: [Float]] = {
        var random = SeededNumbers(seed: 4)
        return [
            "a": random.gaussians(70_000), "b": random.gaussians(64), "c": random.gaussians(129),
        ]
    }()

    static func document(
        _ kind: ProjectorDocument.Kind, _ dims: Int,
        _ normalise: ProjectorDocument.Normalisation = .tensor
    ) -> ProjectorDocument {
        ProjectorDocument(
            kind: kind, dims: dims, seed: 99, normalise: normalise,
            rounds: kind == .rapidgrad ? 4 : nil,
            tensors: row.sorted { $0.key < $1.key }.map {
                .init(name: $0.key, shape: [$0.value.count])
            })
    }

    /// Sends the tensors in an order, in pieces of random sizes.
    static func vector(
        _ document: ProjectorDocument, order: [String], most: Int, _ kernels: KernelSet? = nil
    ) throws -> [Float] {
        let projector = try Projector(document, kernels: kernels ?? KernelSet.supported[0])
        let stream = ProjectionStream(projector, name: "test")
        var random = SeededNumbers(seed: UInt64(most))
        for name in order {
            let values = row[name] ?? []
            try stream.begin(name, shape: [values.count])
            var start = 0
            while start < values.count {
                let count = min(values.count - start, 1 + Int(random.next() % UInt64(most)))
                try values[start..<start + count].withUnsafeBytes { try stream.append($0, .f32) }
                start += count
            }
            try stream.end()
        }
        return try stream.finish()
    }

    @Test(arguments: [
        (ProjectorDocument.Kind.sketch, 64), (.sketch, 1024), (.sketch, 16384), (.dense, 10),
    ])
    func theVectorIsWhatTheDefinitionGives(kind: ProjectorDocument.Kind, dims: Int) throws {
        for normalise in ProjectorDocument.Normalisation.allCases {
            let document = Self.document(kind, dims, normalise)
            let vector = try Self.vector(document, order: ["a", "b", "c"], most: 100_000)
            let expected = ProjectionOracle.project(document, Self.row)
            #expect(ProjectionOracle.error(vector, expected) < 1e-5)
        }
    }

    @Test(arguments: [
        (ProjectorDocument.Kind.sketch, 128), (.sketch, 8192), (.sketch, 65536), (.dense, 70),
        (.rapidgrad, 128),
    ])
    func piecesOrderAndKernelsChangeNoBit(kind: ProjectorDocument.Kind, dims: Int) throws {
        let document = Self.document(kind, dims)
        let whole = try Self.vector(document, order: ["a", "b", "c"], most: 1 << 20)
        for kernels in KernelSet.supported {
            for (order, most) in [
                (["c", "a", "b"], 1), (["b", "c", "a"], 900), (["a", "c", "b"], 70_000),
            ] {
                if most == 1, dims > 8192 { continue }
                let pieces = try Self.vector(document, order: order, most: most, kernels)
                #expect(pieces == whole, "\(kernels.name), pieces up to \(most)")
            }
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let projector = try Projector(Self.document(.sketch, 64), kernels: KernelSet.supported[0])
        func refusal(_ body: (ProjectionStream) throws -> Void) -> String {
            let stream = ProjectionStream(projector, name: "step 3")
            do {
                try body(stream)
                return ""
            } catch let error as GradDBError where error.kind == .badInput {
                return error.message
            } catch {
                return "another error: \(error)"
            }
        }
        #expect(refusal { try $0.begin("d", shape: [1]) }.contains("\"d\""))
        #expect(refusal { try $0.begin("b", shape: [65]) }.contains("[65]"))
        #expect(refusal { _ = try $0.finish() }.contains("\"a\" is missing"))
        #expect(
            refusal {
                try $0.begin("b", shape: [64])
                try $0.end()
            }.contains("0 of 64"))
        #expect(
            refusal { stream in
                try stream.begin("b", shape: [64])
                var values = [Float](repeating: 1, count: 64)
                values[41] = .infinity
                try values.withUnsafeBytes { try stream.append($0, .f32) }
                try stream.end()
            }.contains("\"b\": element [41] is inf"))
        #expect(
            refusal { stream in
                try stream.begin("b", shape: [64])
                try [Float](repeating: 1, count: 65).withUnsafeBytes {
                    try stream.append($0, .f32)
                }
            }.contains("more elements"))
    }
}
