// What a measurement holds for: another processor, kernel or number of threads is another machine.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#endif

/// What tells machine profiles apart.
public struct MachineKey: Codable, Hashable, Sendable {
    /// The processor's model, as the operating system names it.
    public let processor: String
    /// The kernel variant.
    public let kernel: String
    public let threads: Int

    /// This process, on this machine.
    ///
    /// - Throws: `.usage` when GRADDB_FORCE_KERNEL names a kernel that does not run here.
    public static func current(threads: Int) throws -> MachineKey {
        MachineKey(
            processor: processorName, kernel: try KernelSet.chosen().name, threads: threads)
    }

    private static let processorName: String = {
        // The first processor's entry; there may be hundreds.
        let text = (try? start(of: "/proc/cpuinfo", bytes: 4096)) ?? ""
        var facts: [String: String] = [:]
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = String(line[..<colon].filter { $0 != "\t" })
            let value = String(line[line.index(after: colon)...].drop { $0 == " " })
            if facts[name] == nil { facts[name] = value }
        }
        if let model = facts["model name"], !model.isEmpty { return model }
        // AArch64 has numbers only.
        if let part = facts["CPU part"] {
            return "implementer \(facts["CPU implementer"] ?? "?") part \(part)"
        }
        return "unknown"
    }()

    private static func start(of path: String, bytes: Int) throws -> String {
        let file = try FileDescriptor.open(path, .readOnly)
        return try file.closeAfter {
            let read = try [UInt8](unsafeUninitializedCapacity: bytes) { buffer, count in
                count = try file.read(into: UnsafeMutableRawBufferPointer(buffer))
            }
            return String(decoding: read, as: UTF8.self)
        }
    }
}
