// RocksDB reads the properties of a table file without their checksum when it opens the file, and
// takes the highest bit of their last number for a hash index behind the entries. There never is
// one. Where the bit has flipped, an assertion of RocksDB's would end the process, so the bit is
// looked at before RocksDB opens anything.

#if canImport(Glibc)
    import Glibc
#endif

enum PropertiesMark {
    /// Files that one thread looks at. It takes some microseconds each.
    private static let filesPerPart = 256

    /// - Throws: `.corrupt`, naming the file, where RocksDB would end the process.
    static func check(database path: String) throws {
        let files = tableFiles(path)
        let parts = (files.count + filesPerPart - 1) / filesPerPart
        let marked = try Parallel.map(parts, threads: min(parts, 8)) { part in
            files[part * filesPerPart..<min(files.count, (part + 1) * filesPerPart)].filter(isSet)
        }
        guard let file = marked.joined().min() else { return }
        throw GradDBError.corrupt(
            "the properties of \(file) are damaged, and the database cannot be opened with it; "
                + "restore a backup, or move the file away and run gradctl repair, which keeps what the "
                + "other files hold")
    }

    /// None where there is no directory: RocksDB says what is wrong.
    private static func tableFiles(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var files: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".sst") { files.append(path + "/" + name) }
        }
        return files
    }

    /// False too where RocksDB would not come to read properties: it says what is wrong with such a file.
    private static func isSet(_ path: String) -> Bool {
        var status = stat()
        guard stat(path, &status) == 0,
            let file = try? MappedFile(path: path, bytes: Int(status.st_size)),
            let properties = TableFile.unverifiedProperties(file.bytes)
        else { return false }
        return file.bytes[properties.upperBound - 1] & 0x80 != 0
    }
}
