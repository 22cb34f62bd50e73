// A projector's identity: its text, its hash, and when two are the same.

import Foundation
import GradDB
import Testing

struct ProjectorDocumentTests {
    static let document = ProjectorDocument(
        kind: .sketch, dims: 128, seed: 0xAB, normalise: .tensor, match: ["w*"],
        tensors: [.init(name: "a\"\\\u{1}\n\u{7f}é/", shape: [2, 3]), .init(name: "b", shape: [])])

    @Test func theTextIsThatOfTheSpecification() throws {
        let text =
            #"{"kind":"sketch","version":1,"dims":128,"seed":"0xab","normalise":"tensor","#
            + #""match":["w*"],"tensors":[{"name":"a\"\\\u0001\n"# + "\u{7f}é/"
            + #"","shape":[2,3]},{"name":"b","shape":[]}]}"#
        #expect(Self.document.text == text)
        #expect(try ProjectorDocument(parsing: text) == Self.document)
        let hashed = Array(text.replacing(#""match":["w*"],"#, with: "").utf8)
        let hash = hashed.withUnsafeBytes { KernelSet.supported[0].hash($0) }
        #expect(UInt64(Self.document.hash, radix: 16) == hash)
        #expect(Self.document.hash.count == 16)
    }

    @Test func projectorsAgreeByHashOrWithoutTensors() {
        var other = Self.document
        other.match = nil
        #expect(other.agrees(with: Self.document))
        #expect(other.withoutTensors.agrees(with: Self.document))
        other.tensors?[1].shape = [1]
        #expect(!other.agrees(with: Self.document))
        #expect(other.difference(from: Self.document).contains("\"b\" has shape [1]"))
        other = Self.document.withoutTensors
        other.seed = 1
        #expect(!other.agrees(with: Self.document))
        #expect(!Self.document.agrees(with: other))
    }

    @Test func aTableDocumentKeepsIt() throws {
        let layer = Layer(
            number: 0, name: "grad", dims: 128, encodings: [], seed: 1, projector: Self.document)
        let json = try JSONEncoder().encode(layer)
        #expect(try JSONDecoder().decode(Layer.self, from: json) == layer)
    }

    @Test(arguments: [
        "sketch,dims=65536", "dense,dims=1,seed=18446744073709551615",
        "factored,rank=3x5,match=h.*,match=x", "rapidgrad,dims=7,rounds=0,normalise=tensor",
    ])
    func specificationsAreRead(text: String) throws {
        let document = try ProjectorDocument(specification: text)
        #expect(try ProjectorDocument(parsing: document.text) == document)
    }

    @Test func rapidgradHasTwentyRoundsWhereNothingIsSaid() throws {
        #expect(try ProjectorDocument(specification: "rapidgrad,dims=8").rounds == 20)
        #expect(try ProjectorDocument(specification: "sketch", dims: 64).dims == 64)
        #expect(try ProjectorDocument(specification: "factored,rank=3x5").dims == 15)
    }
}
