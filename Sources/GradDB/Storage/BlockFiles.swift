// The table files of `blocks` as a reader's handle sees them: all are mapped when it opens, so that
// none can be taken from under it, and looked into when they are first asked for a block. Nothing
// is read before, so that opening costs little however many there are.

import Synchronization

/// A table file that the manifest lists.
package struct LiveFile {
    package let family: String
    package let path: String
    package let bytes: Int
    /// Keys of its entries, and of the ranges that it deletes, lie between these two.
    package let smallest: [UInt8]
    package let largest: [UInt8]

    /// Name of the file in the database's directory.
    package var name: String { String(path.split(separator: "/").last ?? "") }

    package init(family: String, path: String, bytes: Int, smallest: [UInt8], largest: [UInt8]) {
        self.family = family
        self.path = path
        self.bytes = bytes
        self.smallest = smallest
        self.largest = largest
    }
}

/// Finds blocks in table files. Thread-safe.
package final class BlockFiles: Sendable {
    /// A file, and what is known of it once it has been asked for something.
    private final class Entry: Sendable {
        let path: String
        let first: PackedKey
        let last: PackedKey
        /// Nil, with the reason, where the file is not what it should be.
        let mapped: Result<MappedFile, GradDBError>
        let table = AtomicLazyReference<TableFile>()

        init(_ file: LiveFile, _ mapped: Result<MappedFile, GradDBError>) {
            path = file.path
            first = PackedKey(file.smallest)
            last = PackedKey(file.largest)
            self.mapped = mapped
        }
    }

    /// Files whose keys lie between two keys that no other file's keys lie between: one, but for
    /// what RocksDB has written itself.
    private struct Group {
        let first: PackedKey
        var last: PackedKey
        var entries: Range<Int>
    }

    private let entries: [Entry]
    private let groups: [Group]
    private let kernels: KernelSet

    /// - Parameter tolerating: whether files that are missing, or of another size than they should
    ///   be, are found when a block of theirs is asked for, and not at once.
    /// - Throws: `.corrupt`, `.io`.
    package init(_ files: [LiveFile], tolerating: Bool) throws {
        kernels = try KernelSet.chosen()
        entries = try files.map { file in
            do {
                return Entry(
                    file, .success(try MappedFile(path: file.path, bytes: file.bytes)))
            } catch let error as GradDBError {
                guard tolerating else { throw error }
                return Entry(file, .failure(error))
            }
        }.sorted { $0.first < $1.first }
        var groups: [Group] = []
        for (index, entry) in entries.enumerated() {
            if let last = groups.last, entry.first <= last.last {
                groups[groups.count - 1].last = max(last.last, entry.last)
                groups[groups.count - 1].entries = last.entries.lowerBound..<index + 1
            } else {
                groups.append(
                    Group(first: entry.first, last: entry.last, entries: index..<index + 1))
            }
        }
        self.groups = groups
    }

    /// The value of a key; nil when there is none.
    ///
    /// - Throws: `.corrupt`, naming the block and the file.
    package func value(_ key: [UInt8]) throws -> PinnedValue? {
        let packed = PackedKey(key)
        guard let group = group(of: packed) else { return nil }
        var newest: (file: MappedFile, value: Range<Int>, sequence: UInt64)?
        var deleted: UInt64?
        for index in group.entries {
            let entry = entries[index]
            guard entry.first <= packed, packed <= entry.last else { continue }
            let table = try table(entry)
            try key.withUnsafeBytes { key in
                if let sequence = table.rangeDeletion(of: key) {
                    deleted = max(deleted ?? 0, sequence)
                }
                switch try table.find(key) {
                case .value(let value, let sequence)?:
                    if newest.map({ $0.sequence <= sequence }) ?? true {
                        newest = (table.file, value, sequence)
                    }
                case .deletion(let sequence)?: deleted = max(deleted ?? 0, sequence)
                case nil: break
                }
            }
        }
        guard let newest, deleted.map({ $0 <= newest.sequence }) ?? true else { return nil }
        return PinnedValue(
            UnsafeRawBufferPointer(rebasing: newest.file.bytes[newest.value]), in: newest.file)
    }

    /// Paths of the files that a key would be in.
    package func paths(of key: [UInt8]) -> [String] {
        candidates(key).map(\.path)
    }

    var fileCount: Int { entries.count }

    func path(ofFile index: Int) -> String { entries[index].path }

    /// Where data blocks of a file fail RocksDB's checksum; without `deep` they are not looked at.
    ///
    /// - Throws: `.corrupt` where its blocks cannot be found.
    func damagedParts(
        ofFile index: Int, deep: Bool, _ cancellation: Cancellation
    ) throws -> [Range<Int>] {
        let table = try table(entries[index])
        let kernels = self.kernels
        return deep
            ? try table.damagedParts(hash: { kernels.hash($0) }, cancellation: cancellation) : []
    }

    /// The parts of files that hold a key's entry if they hold one.
    package func parts(of key: [UInt8]) throws -> [Part] {
        try candidates(key).compactMap { entry in
            try key.withUnsafeBytes { try table(entry).part(of: $0) }.map {
                Part(path: entry.path, offset: $0.lowerBound, bytes: $0.count)
            }
        }
    }

    private func candidates(_ key: [UInt8]) -> [Entry] {
        let packed = PackedKey(key)
        guard let group = group(of: packed) else { return [] }
        return entries[group.entries].filter { $0.first <= packed && packed <= $0.last }
    }

    private func group(of key: PackedKey) -> Group? {
        var low = 0
        var high = groups.count
        while low < high {
            let middle = (low + high) / 2
            if groups[middle].last < key { low = middle + 1 } else { high = middle }
        }
        return low < groups.count && groups[low].first <= key ? groups[low] : nil
    }

    private func table(_ entry: Entry) throws -> TableFile {
        if let table = entry.table.load() { return table }
        let kernels = self.kernels
        return entry.table.storeIfNil(
            try TableFile(try entry.mapped.get(), path: entry.path) { kernels.hash($0) })
    }
}

/// The first 24 bytes of a key, as numbers that sort alike. Shorter keys are as if zeros followed:
/// a key is never outside of the range that the packed ends of a range make.
private struct PackedKey: Comparable {
    private let words: (UInt64, UInt64, UInt64)

    init(_ key: [UInt8]) {
        func word(_ index: Int) -> UInt64 {
            (8 * index..<8 * index + 8).reduce(0) { $0 << 8 | UInt64($1 < key.count ? key[$1] : 0) }
        }
        words = (word(0), word(1), word(2))
    }

    static func == (a: PackedKey, b: PackedKey) -> Bool { a.words == b.words }
    static func < (a: PackedKey, b: PackedKey) -> Bool { a.words < b.words }
}
