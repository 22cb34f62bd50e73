import Foundation
import GradDB
import Testing

/// .npy files, well-formed and not.
@Suite struct NpyTests {
    typealias MalformedInput = ReaderFixtures.MalformedInput

    @Test(arguments: [UInt8(1), 2, 3])
    func readsEachVersion(version: UInt8) throws {
        let document = ReaderFixtures.npy(
            version: version,
            header: "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 5), }          \n",
            data: ReaderFixtures.pattern(60))
        let directory = try ReaderFixtures.Directory()
        let file = try TensorFile(npy: directory.write("a.npy", document), tensor: "grad")
        let matrix = try file.matrix("grad", allowVector: false)

        #expect(matrix.element == .f32)
        #expect((matrix.rows, matrix.dims, matrix.rowBytes) == (3, 5, 20))
        #expect(file.byteCount == document.count)
        let last = try ReaderFixtures.filled(20) {
            try file.read(tensor: "grad", rows: 2..<3, into: $0)
        }
        #expect(last == ReaderFixtures.pattern(20, from: 40))
    }

    @Test(arguments: [
        ("<f4", VectorElement.f32), ("=f4", .f32), ("|f4", .f32), ("f4", .f32),
        ("<f2", .f16), ("=f2", .f16), ("|f2", .f16), ("f2", .f16),
    ])
    func readsEachWayToWriteLittleEndian(descr: String, element: VectorElement) throws {
        let file = try TensorFile(
            npy: ReaderFixtures.npy(
                descr: descr, shape: "(2, 3)", bytes: 6 * element.byteCount),
            name: "memory", tensor: "x")
        #expect(try file.matrix("x", allowVector: false).element == element)
    }

    @Test(arguments: [
        "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3)}",
        "{\"shape\":(2,3,),\"fortran_order\":False,\"descr\":\"<f2\",}\n",
        " {\n'fortran_order' : False ,\t'descr' : '<f2', 'shape' : ( 2 , 3 ) } \n",
    ])
    func readsEachWayToWriteTheHeader(header: String) throws {
        let file = try TensorFile(
            npy: ReaderFixtures.npy(header: header, data: ReaderFixtures.pattern(12)),
            name: "memory", tensor: "x")
        #expect(file.tensors["x"]?.shape == [2, 3])
    }

    @Test(arguments: [
        ("(1, 6)", [1, 6]), ("(6, 1)", [6, 1]), ("(6,)", [6]), ("(0, 6)", [0, 6]), ("()", []),
    ])
    func takesFortranOrderWhereItIsTheSame(shape: String, sizes: [Int]) throws {
        let file = try TensorFile(
            npy: ReaderFixtures.npy(
                descr: "<f4", shape: shape, isFortran: true, bytes: sizes.reduce(4, *)),
            name: "memory", tensor: "x")
        #expect(file.tensors["x"]?.shape == sizes)
    }

    @Test func aVectorIsOneRowOnlyWhereThatIsAllowed() throws {
        let file = try TensorFile(
            npy: ReaderFixtures.npy(descr: "<f4", shape: "(6,)", bytes: 24), name: "q", tensor: "x")
        #expect(try file.matrix("x", allowVector: true).dims == 6)
        let failure = ReaderFixtures.failure { _ = try file.matrix("x", allowVector: false) }
        #expect(failure.message.contains("q: tensor \"x\" has shape [6]"))
    }

    private static func header(
        _ what: String, _ header: String, _ message: String
    ) -> MalformedInput {
        MalformedInput(
            what, ReaderFixtures.npy(header: header, data: ReaderFixtures.pattern(24)), message)
    }

    private static func array(
        _ what: String, descr: String = "<f4", shape: String = "(2, 3)", isFortran: Bool = false,
        bytes: Int = 24, _ message: String
    ) -> MalformedInput {
        MalformedInput(
            what,
            ReaderFixtures.npy(descr: descr, shape: shape, isFortran: isFortran, bytes: bytes),
            message)
    }

    static let types: [MalformedInput] = [
        array("big-endian float", descr: ">f4", "is big-endian"),
        array("big-endian half", descr: ">f2", "is big-endian"),
        array("doubles", descr: "<f8", "dtype \"<f8\" is not read"),
        array("integers", descr: "<i4", "dtype \"<i4\" is not read"),
        array("bytes", descr: "|u1", "dtype \"|u1\" is not read"),
        array("booleans", descr: "|b1", "dtype \"|b1\" is not read"),
        array("complex", descr: "<c8", "dtype \"<c8\" is not read"),
        array("strings", descr: "<U4", "dtype \"<U4\" is not read"),
        array("objects", descr: "|O", "holds Python objects"),
        array("bfloat16", descr: "|V2", "may have been bfloat16"),
        array("an empty type", descr: "", "dtype \"\" is not read"),
        header(
            "a structured type",
            "{'descr': [('a', '<f4'), ('b', '<i4')], 'fortran_order': False, 'shape': (3,), }",
            "structured dtype"),
    ]

    static let shapes: [MalformedInput] = [
        array("Fortran order", isFortran: true, "numpy.ascontiguousarray"),
        array("Fortran order of 3-D", shape: "(1, 2, 3)", isFortran: true, "Fortran order"),
        array("too little data", bytes: 23, "needs 24 bytes of data, but 23 follow"),
        array("no data", bytes: 0, "truncated, copy it again"),
        array("too much data", bytes: 25, "something was appended"),
        array("a negative size", shape: "(-2, 3)", "expected a non-negative integer"),
        array("a size with a leading zero", shape: "(02, 3)", "expected a non-negative integer"),
        array("a fraction", shape: "(2.0, 3)", "expected ',', found `.0, 3)"),
        array("Python 2's long", shape: "(2L, 3L)", "expected ',', found `L, 3L)"),
        array("a size beyond 64 bits", shape: "(18446744073709551616,)", "too large"),
        array("a product beyond 64 bits", shape: "(4294967296, 4294967296)", "larger than any"),
        array("bytes beyond 64 bits", shape: "(4611686018427387904,)", "larger than any"),
        array("no tuple", shape: "(6)", "expected ','"),
        array("a list", shape: "[2, 3]", "expected '('"),
        array("an open tuple", shape: "(2, 3", "expected a non-negative integer"),
        array("only a comma", shape: "(,)", "expected a non-negative integer"),
        array("None", shape: "None", "expected '('"),
        array(
            "a hundred dimensions", shape: "(" + String(repeating: "1,", count: 100) + ")",
            "more than 64 dimensions"),
    ]

    static let headers: [MalformedInput] = [
        header("an empty header", "", "expected '{', found its end"),
        header("blanks", "        ", "expected '{', found its end"),
        header("an empty dictionary", "{}", "lacks one of"),
        header("no shape", "{'descr': '<f4', 'fortran_order': False, }", "lacks one of"),
        header("no descr", "{'shape': (2, 3), 'fortran_order': False, }", "lacks one of"),
        header("no order", "{'shape': (2, 3), 'descr': '<f4'}", "lacks one of"),
        header(
            "a key twice",
            "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
            "'descr' twice"),
        header(
            "another key",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'order': 'C', }",
            "unknown key \"order\""),
        header(
            "text behind", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } x",
            "expected nothing more, found `x`"),
        header(
            "code instead of a literal",
            "{'descr': '<f4', 'fortran_order': bool(0), 'shape': (2, 3), }",
            "expected True or False"),
        header(
            "true in lower case", "{'descr': '<f4', 'fortran_order': true, 'shape': (2, 3), }",
            "expected True or False"),
        header(
            "an escape in a string",
            "{'descr': '<f\\x34', 'fortran_order': False, 'shape': (2, 3), }", "without escapes"),
        header("a string that never ends", "{'descr: ", "without escapes"),
        header("a key without quotes", "{descr: '<f4'}", "expected a string"),
        header("no colon", "{'descr' '<f4'}", "expected ':'"),
        header("no comma", "{'descr': '<f4' 'shape': (2, 3)}", "expected '}'"),
        header("a list", "['descr']", "expected '{'"),
        .init("empty file", [], "ends after 0 bytes"),
        .init("nine bytes", Array(ReaderFixtures.npyPrefix(1, 0)), "ends after 8 bytes"),
        .init(
            "another magic", Array("\u{93}NUMPX".utf8) + [UInt8](repeating: 0, count: 20),
            "no .npy file"),
        .init("version 0.9", ReaderFixtures.npyPrefix(0, 9) + [2, 0, 0x7B, 0x7D], "version 0.9"),
        .init("version 1.1", ReaderFixtures.npyPrefix(1, 1) + [2, 0, 0x7B, 0x7D], "version 1.1"),
        .init("version 4.0", ReaderFixtures.npyPrefix(4, 0) + [2, 0, 0, 0, 0x7B], "version 4.0"),
        .init(
            "a header longer than the file", ReaderFixtures.npyPrefix(1, 0) + [255, 0, 0x7B],
            "inside its header"),
        .init(
            "a header of 4 GB",
            ReaderFixtures.npyPrefix(2, 0) + [255, 255, 255, 255, 0x7B],
            "4294967295 bytes is announced"),
    ]

    @Test(arguments: types + shapes + headers)
    func isRefusedByName(input: MalformedInput) throws {
        let directory = try ReaderFixtures.Directory()
        let path = try directory.write("bad.npy", input.bytes)
        let failure = ReaderFixtures.failure { _ = try TensorFile(npy: path, tensor: "x") }
        #expect(failure.kind == .badInput)
        #expect(failure.message.hasPrefix("\(path): "))
        #expect(failure.message.contains(input.message), "\(failure.message)")
        #expect(failure.message.utf8.count < 1_000)
    }

    @Test(arguments: [UInt8(1), 2])
    func isRefusedWhenCutAtAnyByte(version: UInt8) throws {
        let whole = ReaderFixtures.npy(
            version: version,
            header: "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 3), }   \n",
            data: ReaderFixtures.pattern(12))
        let directory = try ReaderFixtures.Directory()
        for count in 0..<whole.count {
            let path = try directory.write("cut.npy", Array(whole[..<count]))
            let failure = ReaderFixtures.failure { _ = try TensorFile(path, npyTensor: "x") }
            #expect(failure.kind == .badInput, "cut at \(count): \(failure)")
        }
        #expect(try TensorFile(npy: whole, name: "whole", tensor: "x").tensors.count == 1)
    }

    @Test func survivesRandomChanges() throws {
        let whole = ReaderFixtures.npy(descr: "<f4", shape: "(2, 3)", bytes: 24)
        let likely = Array("{}()',:0123456789<>=|fFTL. \n".utf8)
        let seed = ReaderFixtures.seed("npy")
        var numbers = SeededRandom(seed: seed)
        for round in 0..<5_000 {
            var bytes = whole
            for _ in 0...Int.random(in: 0..<3, using: &numbers) {
                let place = Int.random(in: 0..<bytes.count - 24, using: &numbers)
                switch UInt8.random(in: 0..<4, using: &numbers) {
                case 0: bytes[place] = .random(in: .min ... .max, using: &numbers)
                case 1: bytes[place] = likely.randomElement(using: &numbers) ?? 0
                case 2: bytes.remove(at: place)
                default: bytes.insert(likely.randomElement(using: &numbers) ?? 0, at: place)
                }
            }
            do {
                let file = try TensorFile(npy: bytes, name: "mutated", tensor: "x")
                guard let matrix = try? file.matrix("x", allowVector: true) else { continue }
                _ = try ReaderFixtures.filled(matrix.rows * matrix.rowBytes) {
                    try file.read(tensor: "x", rows: 0..<matrix.rows, into: $0)
                }
            } catch let error as GradDBError {
                #expect(error.kind == .badInput, "round \(round), seed \(seed): \(error)")
            }
        }
    }
}

extension ReaderFixtures {
    /// The first eight bytes of an .npy file.
    static func npyPrefix(_ major: UInt8, _ minor: UInt8) -> [UInt8] {
        [0x93] + Array("NUMPY".utf8) + [major, minor]
    }
}
