// Where profiles are kept between processes: one small JSON file in the user's cache directory,
// with a profile for every machine and device, since homes are shared. Whoever asks wants an answer
// or none: a file that cannot be read, or is not ours, is as good as none.

import SystemPackage

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package struct MachineFile: Codable {
    private static let currentFormat = 1
    private static let mostBytes = 1 << 20

    private var format = currentFormat
    var profiles: [MachineProfile] = []
    /// Nil in files of before devices were measured, whose readers leave it alone.
    private var devices: [Kept]?

    var deviceProfiles: [DeviceProfile] {
        get { (devices ?? []).compactMap(\.profile) }
        set { devices = newValue.isEmpty ? nil : newValue.map { Kept(profile: $0) } }
    }

    /// One that another version has kept may lack something: then it is none, and the others are.
    private struct Kept: Codable {
        var profile: DeviceProfile?

        init(profile: DeviceProfile) { self.profile = profile }

        init(from decoder: any Decoder) { profile = try? DeviceProfile(from: decoder) }

        func encode(to encoder: any Encoder) throws { try profile?.encode(to: encoder) }
    }

    /// `$XDG_CACHE_HOME/graddb/machine.json`, else `~/.cache/graddb/machine.json`; nil where neither
    /// variable says where. A relative XDG_CACHE_HOME is ignored, as its specification demands.
    package static var standardPath: String? {
        let environment = ProcessInfo.processInfo.environment
        if let cache = environment["XDG_CACHE_HOME"], cache.hasPrefix("/") {
            return cache + "/graddb/machine.json"
        }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        return home + "/.cache/graddb/machine.json"
    }

    /// What the file has, a few KB; an empty one where it cannot be read.
    static func read(_ path: String) -> MachineFile {
        guard let status = try? FileStatus(at: FilePath(path)),
            status.kind == .regular, status.byteCount <= mostBytes,
            let data = FileManager.default.contents(atPath: path),
            let file = try? JSONDecoder().decode(MachineFile.self, from: data),
            file.format == currentFormat
        else { return MachineFile() }
        return file
    }

    /// Changes the file in one step: readers see the old one or the new one.
    ///
    /// - Parameter path: nil where nobody says.
    /// - Returns: the file's path.
    /// - Throws: `.io`.
    static func change(_ path: String?, _ change: (inout MachineFile) -> Void) throws -> String {
        guard let path else {
            throw GradDBError(.io, "neither XDG_CACHE_HOME nor HOME says where to keep it")
        }
        var file = read(path)
        change(&file)
        do {
            try FileManager.default.createDirectory(
                atPath: FilePath(path).removingLastComponent().string,
                withIntermediateDirectories: true)
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(file).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw GradDBError(.io, "cannot write \(path): \(Database.systemReason(error))")
        }
        return path
    }
}
