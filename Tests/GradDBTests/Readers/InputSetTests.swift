import Foundation
import GradDB
import Testing

/// What a list of paths stands for, and in which order.
@Suite struct InputSetTests {
    private let directory: ReaderFixtures.Directory

    init() throws {
        directory = try ReaderFixtures.Directory()
    }

    private static let safetensors = ReaderFixtures.safetensors(
        dtype: "F16", shape: [2, 3], elementBytes: 2)
    private static let npy = ReaderFixtures.npy(descr: "<f4", shape: "(4, 3)", bytes: 48)

    private func inputs(_ paths: [String], npyTensor: String? = "grad") throws -> InputSet {
        try InputSet(paths: paths, npyTensor: npyTensor, spoolDirectory: directory.path)
    }

    private func names(_ inputs: InputSet) throws -> [String] {
        var names: [String] = []
        while let source = try inputs.next() { names.append(source.name) }
        return names
    }

    @Test func takesADirectorysFilesInTheOrderOfTheirBytes() throws {
        // Upper case before lower, "10" before "9", bytes beyond ASCII last.
        let expected = [
            "B.safetensors", "a-10.npy", "a-9.safetensors", "a.safetensors", "é.safetensors",
        ]
        for name in expected.shuffled() {
            try directory.write(name, name.hasSuffix("npy") ? Self.npy : Self.safetensors)
        }
        for other in ["README.md", ".hidden.safetensors", "x.safetensors.tmp", "safetensors"] {
            try directory.write(other, "no tensors")
        }
        for folder in ["deeper", "deeper.safetensors"] {
            try FileManager.default.createDirectory(
                atPath: directory.path + "/" + folder, withIntermediateDirectories: false)
        }
        try directory.write("deeper/z.safetensors", Self.safetensors)

        let inputs = try inputs([directory.path])
        #expect(inputs.totalBytes == 4 * Self.safetensors.count + Self.npy.count)
        #expect(try names(inputs) == expected.map { directory.path + "/" + $0 })
        #expect(try inputs.next() == nil)
    }

    @Test func takesPathsInTheirOrder() throws {
        let last = try directory.write("z.npy", Self.npy)
        let first = try directory.write("a.safetensors", Self.safetensors)
        #expect(try names(inputs([last, first, last])) == [last, first, last])
        #expect(try inputs([]).next() == nil)
    }

    @Test func opensAThousandFilesOneAtATime() throws {
        for index in 0..<1_000 {
            try directory.write("part-\(index).safetensors", Self.safetensors)
        }
        let inputs = try inputs([directory.path])
        var count = 0
        var mostOpen = 0
        while let source = try inputs.next() {
            #expect(try source.rowCount(of: ["grad"]) == 2)
            count += 1
            if count.isMultiple(of: 100) { mostOpen = max(mostOpen, openFiles()) }
        }
        #expect(count == 1_000)
        #expect(mostOpen <= 1)
        #expect(openFiles() == 0)
        #expect(inputs.totalBytes == 1_000 * Self.safetensors.count)
    }

    @Test func tellsFormatsByTheirBytesAndNotTheirNames() throws {
        let wrongNpy = try directory.write("a.safetensors", Self.npy)
        let bareNpy = try directory.write("gradients", Self.npy)
        let bareSafetensors = try directory.write("b.bin", Self.safetensors)
        for path in [wrongNpy, bareNpy] {
            let source = try #require(try inputs([path], npyTensor: "head").next())
            #expect(try source.rowCount(of: ["head"]) == 4)
        }
        let source = try #require(try inputs([bareSafetensors]).next())
        #expect(try source.rowCount(of: ["grad"]) == 2)
    }

    @Test(arguments: [
        ("x.pt", "PK\u{3}\u{4} a zip of pickles", "neither safetensors nor .npy"),
        ("x.bin", "", "neither safetensors nor .npy"),
        ("x.npy", "some text", "inside its header"),
        ("x.npy", "some more text", "no .npy file"),
        ("x.safetensors", "some more text", "is announced"),
        ("x.safetensors", "", "only 0 bytes"),
    ])
    func refusesOtherFiles(name: String, text: String, message: String) throws {
        let path = try directory.write(name, text)
        let inputs = try inputs([path])
        let failure = ReaderFixtures.failure { _ = try inputs.next() }
        #expect(failure.kind == .badInput)
        #expect(failure.message.hasPrefix("\(path): "))
        #expect(failure.message.contains(message), "\(failure.message)")
    }

    @Test func refusesNpyForSeveralLayers() throws {
        let path = try directory.write("x.npy", Self.npy)
        let inputs = try inputs([path], npyTensor: nil)
        let failure = ReaderFixtures.failure { _ = try inputs.next() }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("use safetensors"))
    }

    @Test func refusesPathsBeforeAnythingIsRead() throws {
        let good = try directory.write("a.safetensors", Self.safetensors)
        let missing = ReaderFixtures.failure {
            _ = try inputs([good, directory.path + "/none.npy"])
        }
        #expect(missing.kind == .badInput)
        #expect(missing.message.contains("none.npy: no such file"))

        let empty = directory.path + "/empty"
        try FileManager.default.createDirectory(
            atPath: empty, withIntermediateDirectories: false)
        let nothing = ReaderFixtures.failure { _ = try inputs([empty]) }
        #expect(nothing.kind == .badInput)
        #expect(nothing.message.contains("\(empty): the directory holds no"))

        let twice = ReaderFixtures.failure { _ = try inputs(["-", good, "-"]) }
        #expect(twice.kind == .usage)

        let none = ReaderFixtures.failure { _ = try inputs([""]) }
        #expect(none.kind == .badInput)
    }

    @Test func namesAFileThatWentAway() throws {
        let path = try directory.write("a.safetensors", Self.safetensors)
        let inputs = try inputs([path])
        try FileManager.default.removeItem(atPath: path)
        let failure = ReaderFixtures.failure { _ = try inputs.next() }
        #expect(failure.kind == .badInput)
        #expect(failure.message.contains("\(path): no such file"))
    }

    @Test func readsAStreamAmongFiles() throws {
        let path = try directory.write("a.safetensors", Self.safetensors)
        let pipe = Pipe()
        for _ in 0..<3 {
            let length = ReaderFixtures.littleEndian(UInt64(Self.safetensors.count))
            try pipe.fileHandleForWriting.write(contentsOf: Data(length + Self.safetensors))
        }
        try pipe.fileHandleForWriting.close()
        let inputs = try InputSet(
            paths: [path, "-", path], npyTensor: nil,
            standardInput: .init(rawValue: pipe.fileHandleForReading.fileDescriptor),
            spoolDirectory: directory.path)
        #expect(inputs.totalBytes == nil)
        let messages = (1...3).map { "standard input, message \($0)" }
        #expect(try names(inputs) == [path] + messages + [path])
    }

    /// This process's descriptors on files of the directory. Linux only, elsewhere 0.
    private func openFiles() -> Int {
        let links = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        return (links ?? []).count { link in
            let target = try? FileManager.default.destinationOfSymbolicLink(
                atPath: "/proc/self/fd/\(link)")
            return target?.hasPrefix(directory.path) == true
        }
    }
}
