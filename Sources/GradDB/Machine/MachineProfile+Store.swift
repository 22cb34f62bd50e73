// Where profiles are kept between processes: one small JSON file in the user's cache directory,
// with a profile for every machine, since homes are shared. Whoever asks wants an answer or none:
// a file that cannot be read, or is not ours, is as good as none.

import SystemPackage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension MachineProfile {
    private struct File: Codable {
        static let currentFormat = 1
        var format = currentFormat
        var profiles: [MachineProfile] = []
    }

    /// `$XDG_CACHE_HOME/graddb/machine.json`, else `~/.cache/graddb/machine.json`; nil where neither
    /// variable says where. A relative XDG_CACHE_HOME is ignored, as its specification demands.
    public static var storePath: String? {
        let environment = ProcessInfo.processInfo.environment
        if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
            return cache + "/graddb/machine.json"
        }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + "/.cache/graddb/machine.json"
    }

    /// The stored profile of this machine; nil when there is none. Reads a file of a few KB.
    public static func load(
        threads: Int, from path: String? = storePath
    ) -> MachineProfile? {
        guard let path, let key = try? MachineKey.current(threads: threads) else { return nil }
        return profiles(in: path).first { $0.key == key }
    }

    private static func profiles(in path: String) -> [MachineProfile] {
        guard let status = try? FileStatus(at: FilePath(path)),
            status.kind == .regular, status.byteCount <= 1 << 20,
            let data = FileManager.default.contents(atPath: path),
            let file = try? JSONDecoder().decode(File.self, from: data),
            file.format == File.currentFormat
        else { return [] }
        return file.profiles
    }

    /// Keeps this profile for later processes, in place of an earlier one of the same machine. The
    /// file is replaced in one step: readers see the old one or the new one.
    ///
    /// - Returns: the file's path.
    /// - Throws: `.io`.
    @discardableResult
    public func store(at path: String? = storePath) throws -> String {
        guard let path else {
            throw GradDBError(.io, "neither XDG_CACHE_HOME nor HOME says where to keep it")
        }
        let others = Self.profiles(in: path).filter { $0.key != key }
        do {
            try FileManager.default.createDirectory(
                atPath: FilePath(path).removingLastComponent().string,
                withIntermediateDirectories: true)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(File(profiles: others + [self]))
                .write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw GradDBError(.io, "cannot write \(path): \(Database.systemReason(error))")
        }
        return path
    }
}
