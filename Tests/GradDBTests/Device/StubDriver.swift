// The stand-in for NVIDIA's driver (Tests/gpu/stub), built once, and loaded by each test as it wants it.

import CGradKernels
import Foundation
import GradDB

enum StubDriver {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path

    /// Where it lies; or what its build said.
    private static let built = Result<String, any Error> { try build(without: nil) }

    /// A compiler comes with Swift.
    static let canBeBuilt = ["/usr/bin/python3", "/usr/local/bin/python3"].contains {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    struct BuildFailed: Error, CustomStringConvertible {
        var description: String
    }

    private static func build(without function: String?) throws -> String {
        let directory = root + "/.build/gpu-stub" + (function.map { "-without-" + $0 } ?? "")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            ["python3", "-B", root + "/Tests/gpu/stub.py", directory]
            + (function.map { ["--without", $0] } ?? [])
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw BuildFailed(description: String(decoding: said, as: UTF8.self))
        }
        return directory
    }

    /// The library, loaded for one test with these settings (GRADDB_STUB_ in front of their names).
    static func library(
        _ settings: [String: String] = [:], without function: String? = nil
    ) throws -> CUDALibrary {
        // Whoever runs the tests may name an emulator of the kernels themselves.
        let kernels =
            try ProcessInfo.processInfo.environment["GRADDB_STUB_KERNELS"]
            ?? built.get() + "/libstub_kernels.so"
        let source = try function.map { try build(without: $0) } ?? built.get()
        // A copy is another library to the system, with a state of its own, once it has been loaded.
        let directory = TemporaryDirectory()
        let path = directory.file("libcuda.so.1")
        try FileManager.default.copyItem(atPath: source + "/libcuda.so.1", toPath: path)
        var lines = "GRADDB_STUB_KERNELS=\(kernels)\n"
        for (name, value) in settings { lines += "GRADDB_STUB_\(name)=\(value)\n" }
        try lines.write(toFile: directory.file("stub.env"), atomically: true, encoding: .utf8)
        let library = try CUDALibrary(path: path)
        // The settings are read with the first of these; the directory may go then.
        _ = try? CUDADevices.all(library)
        return library
    }

    static func device(
        ordinal: Int = 0, _ settings: [String: String] = [:], image: String? = nil
    ) throws -> CUDABackend {
        try CUDABackend(
            ordinal: ordinal, library(settings),
            image: image.map { Array($0.utf8CString) })
    }
}
