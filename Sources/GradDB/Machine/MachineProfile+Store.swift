// Profiles in the file that keeps them.

extension MachineProfile {
    public static var storePath: String? { MachineFile.standardPath }

    /// The stored profile of this machine; nil when there is none. Reads a file of a few KB.
    public static func load(
        threads: Int, from path: String? = storePath
    ) -> MachineProfile? {
        guard let path, let key = try? MachineKey.current(threads: threads) else { return nil }
        return MachineFile.read(path).profiles.first { $0.key == key }
    }

    /// Keeps this profile for later processes, in place of an earlier one of the same machine.
    ///
    /// - Returns: the file's path.
    /// - Throws: `.io`.
    @discardableResult
    public func store(at path: String? = storePath) throws -> String {
        try MachineFile.change(path) { file in
            file.profiles = file.profiles.filter { $0.key != key } + [self]
        }
    }
}

extension DeviceProfile {
    /// All stored profiles, of all machines.
    package static func load(from path: String? = MachineFile.standardPath) -> [DeviceProfile] {
        path.map { MachineFile.read($0).deviceProfiles } ?? []
    }

    /// Keeps profiles for later processes, in place of earlier ones of the same devices.
    ///
    /// - Returns: the file's path.
    /// - Throws: `.io`.
    package static func store(
        _ profiles: [DeviceProfile], at path: String? = MachineFile.standardPath
    ) throws -> String {
        let keys = Set(profiles.map(\.key))
        return try MachineFile.change(path) { file in
            file.deviceProfiles = file.deviceProfiles.filter { !keys.contains($0.key) } + profiles
        }
    }
}
