// Which table files are broken as a whole, and which parts of those of blocks fail RocksDB's
// checksums. Blocks that lie in them are known only when the catalog is read.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

/// What is wrong with the table files of a store.
final class FileCheck: Sendable {
    /// Of `blocks`; empty where RocksDB alone finds blocks.
    let blocks: BlockFiles?
    let damage: BlockFiles.Damage
    /// Files of the other families that are not what they should be.
    let recordFindings: [Finding]
    private let files: [LiveFile]
    private let claimedFiles = Mutex<Set<String>>([])
    private let claimedParts = Mutex<Set<BlockFiles.Part>>([])

    init(
        _ store: RocksStore, isDeep: Bool, threads: Int, cancellation: Cancellation
    ) throws {
        files = store.liveFiles()
        blocks = store.blockFiles
        damage =
            try blocks?.damage(deep: isDeep, threads: threads, cancellation: cancellation)
            ?? BlockFiles.Damage()
        recordFindings = files.filter { $0.family != ColumnFamily.blocks.rawValue }
            .compactMap { Self.finding($0, isOpen: store.mode == .reading) }
    }

    /// Whether a file of records is there, and of its size. One that is open, and has lost its name
    /// since, was removed by a writer that needs it no more.
    private static func finding(_ file: LiveFile, isOpen: Bool) -> Finding? {
        var status = stat()
        let problem: String
        if stat(file.path, &status) != 0 {
            if isOpen, errno == ENOENT { return nil }
            problem = "cannot be read: \(String(cString: strerror(errno)))"
        } else if Int(status.st_size) != file.bytes {
            problem = "has \(status.st_size) bytes, and should have \(file.bytes)"
        } else {
            return nil
        }
        var finding = Finding(.file, "the table file \(file.name) of \(file.family) \(problem)")
        finding.file = file.name
        if file.family == ColumnFamily.rows.rawValue, let rows = Keys.rows(in: file) {
            finding.message += "; it holds records of rows from \(rows.first) to \(rows.last)"
        }
        return finding
    }

    // MARK: what lies in damaged files

    /// The file, broken as a whole, that a block would be found in.
    func brokenFile(of key: [UInt8]) -> (path: String, error: GradDBError)? {
        guard !damage.files.isEmpty, let blocks else { return nil }
        for path in blocks.paths(of: key) {
            guard let error = damage.files[path] else { continue }
            claimedFiles.withLock { _ = $0.insert(path) }
            return (path, error)
        }
        return nil
    }

    /// Whether a part that fails RocksDB's checksum holds a block.
    func isInDamagedPart(_ key: [UInt8]) -> Bool {
        guard !damage.parts.isEmpty, let parts = try? blocks?.parts(of: key) else { return false }
        let damaged = parts.filter(damage.parts.contains)
        claimedParts.withLock { $0.formUnion(damaged) }
        return !damaged.isEmpty
    }

    /// Damage that no block of the catalog lies in. To be asked for at the end.
    var findingsOfNobody: [Finding] {
        let files = damage.files.filter { file in
            !claimedFiles.withLock { $0.contains(file.key) }
        }
        let parts = damage.parts.filter { part in
            !claimedParts.withLock { $0.contains(part) }
        }
        return files.sorted { $0.key < $1.key }.map { Finding(.file, $0.value.message) }
            + parts.sorted { ($0.path, $0.offset) < ($1.path, $1.offset) }.map {
                Finding(
                    .file,
                    "\($0.path) fails RocksDB's checksum at offset \($0.offset); nothing that a "
                        + "snapshot has lies there")
            }
    }

    /// Says which file a finding is of, where its message has the name of one.
    func nameFiles(in findings: inout [Finding]) {
        // RocksDB may speak of a file by another ending than the one that it has.
        let names = files.map { (name: $0.name, stem: "/" + $0.name.prefix { $0 != "." } + ".") }
        for index in findings.indices where findings[index].file == nil {
            let message = findings[index].message
            findings[index].file = names.first { message.contains($0.stem) }?.name
        }
    }

    /// The name of the file that a block lies in; nil where it is not known.
    func fileName(of key: [UInt8]) -> String? {
        let paths = blocks?.paths(of: key) ?? []
        return paths.count == 1 ? paths[0].split(separator: "/").last.map(String.init) : nil
    }
}

extension Keys {
    /// The first and last row number in a file of `rows` of one table.
    fileprivate static func rows(in file: LiveFile) -> (first: UInt64, last: UInt64)? {
        guard file.smallest.count == 12, file.largest.count == 12,
            file.smallest.prefix(4) == file.largest.prefix(4)
        else { return nil }
        func number(_ key: [UInt8]) -> UInt64 {
            key.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
        return (number(file.smallest), number(file.largest))
    }
}
