// What one argument that names inputs stands for.

import SystemPackage

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

enum InputPath: Equatable {
    case file(FilePath, byteCount: Int)
    case stream

    private static let extensions: Set<String> = ["safetensors", "npy"]

    var isStream: Bool { self == .stream }

    /// The inputs that `argument` stands for, in order. Nothing is opened, but all exist.
    static func inputs(_ argument: String) throws(GradDBError) -> [InputPath] {
        if argument == "-" { return [.stream] }
        let path = FilePath(argument)
        let status = try FileStatus(at: path)
        switch status.kind {
        case .regular: return [.file(path, byteCount: status.byteCount)]
        case .directory: return try files(in: path)
        case .other: throw status.notAFile(argument)
        }
    }

    static func totalBytes(_ inputs: [InputPath]) -> Int? {
        var total = 0
        for input in inputs {
            guard case .file(_, let byteCount) = input else { return nil }
            let (sum, overflow) = total.addingReportingOverflow(byteCount)
            // Only sparse files can claim so much; as a measure of progress it stays true.
            total = overflow ? .max : sum
        }
        return total
    }

    private static func files(in directory: FilePath) throws(GradDBError) -> [InputPath] {
        var files: [InputPath] = []
        for name in try names(in: directory) {
            let path = directory.appending(name)
            let status = try FileStatus(at: path)
            switch status.kind {
            case .regular: files.append(.file(path, byteCount: status.byteCount))
            case .directory: continue
            case .other: throw status.notAFile(path.string)
            }
        }
        guard !files.isEmpty else {
            throw .badInput(
                "\(directory.string): the directory holds no .safetensors or .npy files; "
                    + "name the directory that does, deeper ones are not searched")
        }
        return files
    }

    /// The names in a directory that look like inputs and are not hidden, ordered by their bytes:
    /// an order that depends on no locale, and is the order of rows.
    private static func names(
        in directory: FilePath
    ) throws(GradDBError) -> [FilePath.Component] {
        guard let stream = directory.withPlatformString({ opendir($0) }) else {
            throw SystemFailure.last.opening(directory.string)
        }
        defer { closedir(stream) }
        var names: [(component: FilePath.Component, bytes: [UInt8])] = []
        while true {
            // readdir returns nil both at the end and on failure, and only errno tells which.
            errno = 0
            guard let entry = readdir(stream) else { break }
            guard let component = component(entry) else { continue }
            names.append((component, bytes(component)))
        }
        guard errno == 0 else { throw SystemFailure.last.opening(directory.string) }
        names.sort { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        return names.map(\.component)
    }

    private static func component(_ entry: UnsafeMutablePointer<dirent>) -> FilePath.Component? {
        // Through the pointer, since the entry may be shorter than the declared array of its name.
        guard let offset = MemoryLayout<dirent>.offset(of: \.d_name) else { return nil }
        let name = UnsafeRawPointer(entry).advanced(by: offset).assumingMemoryBound(to: CChar.self)
        guard name.pointee != CChar(bitPattern: UInt8(ascii: ".")),
            let component = FilePath.Component(platformString: name),
            let type = component.extension, extensions.contains(type)
        else { return nil }
        return component
    }

    private static func bytes(_ name: FilePath.Component) -> [UInt8] {
        name.withPlatformString { pointer in
            Array(UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
        }
    }
}
