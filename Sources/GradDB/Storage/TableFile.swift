// One of RocksDB's table files with vector blocks, read without RocksDB: format-spec/database.md has
// what of their format is met. RocksDB parses what it has not verified, or verifies values in a pass
// of its own; both are too dear here, where values carry checksums of their own that a scan verifies
// in passing.
//
// What finds an entry is small and verified once, when a file is first asked for something: footer,
// metaindex, properties, index. An entry itself is not verified but compared: it has to say exactly
// what was looked for, and to lie within its block. So a flipped bit makes it an error or a value
// that is not what it should be, which the value's own checksums tell.

#if canImport(Glibc)
    import Glibc
#endif

/// A mapped table file whose index has been verified. Lookups need no lock and allocate nothing.
final class TableFile: Sendable {
    private static let footerBytes = 53
    private static let magic: UInt64 = 0x88E2_41B7_85F4_CFF7
    private static let formatVersion: UInt32 = 5
    /// RocksDB's number for XXH3.
    private static let checksumKind: UInt8 = 4
    private static let propertiesName = [UInt8]("rocksdb.properties".utf8)
    /// What follows the key in a table file: sequence number and kind of entry, little-endian.
    private static let tagBytes = 8

    /// What a file says of a key.
    enum Finding {
        case value(Range<Int>, sequence: UInt64)
        case deletion(sequence: UInt64)
    }

    private struct RangeDeletion {
        let start: [UInt8]
        let end: [UInt8]
        let sequence: UInt64
    }

    let file: MappedFile
    private let path: String
    private let index: TableEntries
    /// Index keys without what follows them in entries.
    private let indexKeysAreUserKeys: Bool
    /// Where data blocks may lie.
    private let dataEnd: Int
    /// Of files that were attached whole: the sequence number of all their entries.
    private let attachedSequence: UInt64?
    private let rangeDeletions: [RangeDeletion]

    /// - Throws: `.corrupt` unless all that finds entries checks out.
    init(_ file: MappedFile, path: String, hash: ChecksumFunction) throws {
        func broken(_ why: String) -> GradDBError { .corrupt("\(path) \(why)") }
        let bytes = file.bytes
        self.file = file
        self.path = path
        guard bytes.count >= Self.footerBytes else { throw broken("is too short") }
        let footer = bytes.count - Self.footerBytes
        guard
            bytes.loadUnaligned(fromByteOffset: footer + 45, as: UInt64.self).littleEndian
                == Self.magic,
            bytes.loadUnaligned(fromByteOffset: footer + 41, as: UInt32.self).littleEndian
                == Self.formatVersion,
            bytes[footer] == Self.checksumKind
        else { throw broken("does not end as a table file of GradDB does") }
        var cursor = TableBytes(bytes, footer + 1..<footer + 41)
        guard let metaindexPlace = TablePlace(&cursor, limit: footer),
            let indexPlace = TablePlace(&cursor, limit: footer)
        else { throw broken("does not say where its index is") }

        func verified(_ place: TablePlace, _ what: String) throws -> TableEntries {
            guard Self.isSound(bytes, place.range, hash: hash),
                let entries = TableEntries(bytes, place.range)
            else {
                throw broken("fails the checksum of its \(what)")
            }
            return entries
        }
        func list(_ place: TablePlace, _ what: String) throws -> [(key: [UInt8], value: [UInt8])] {
            guard let list = Self.list(bytes, try verified(place, what)) else {
                throw broken("has a malformed \(what)")
            }
            return list
        }
        func place(in value: [UInt8]) -> TablePlace? {
            value.withUnsafeBytes {
                var cursor = TableBytes($0, 0..<$0.count)
                return TablePlace(&cursor, limit: footer)
            }
        }
        var places: [String: TablePlace] = [:]
        for (key, value) in try list(metaindexPlace, "list of parts") {
            places[String(decoding: key, as: UTF8.self)] = place(in: value)
        }
        guard let propertiesPlace = places["rocksdb.properties"] else {
            throw broken("has no properties")
        }
        var properties: [String: [UInt8]] = [:]
        for (key, value) in try list(propertiesPlace, "properties") {
            properties[String(decoding: key, as: UTF8.self)] = value
        }
        func isSet(_ name: String) -> Bool { properties[name] == [1] }
        guard properties["rocksdb.block.based.table.index.type"] ?? [0, 0, 0, 0] == [0, 0, 0, 0],
            isSet("rocksdb.index.value.is.delta.encoded")
        else { throw broken("has an index of a kind that GradDB does not write") }
        indexKeysAreUserKeys = isSet("rocksdb.index.key.is.user.key")
        if properties["rocksdb.external_sst_file.version"] != nil {
            let sequence = properties["rocksdb.external_sst_file.global_seqno"] ?? []
            attachedSequence = sequence.reversed().reduce(0) { $0 << 8 | UInt64($1) }
        } else {
            attachedSequence = nil
        }
        rangeDeletions =
            try places["rocksdb.range_del"].map { place in
                try list(place, "range deletions").map { key, end in
                    guard key.count >= Self.tagBytes else {
                        throw broken("has malformed range deletions")
                    }
                    let tag = key.suffix(Self.tagBytes).reversed().reduce(0) {
                        $0 << 8 | UInt64($1)
                    }
                    return RangeDeletion(
                        start: key.dropLast(Self.tagBytes), end: end, sequence: tag >> 8)
                }
            } ?? []
        index = try verified(indexPlace, "index")
        dataEnd = footer
        // Only where every key is written out can the list of restarts be searched.
        var count = 0
        cursor = TableBytes(bytes, index.range)
        while !cursor.isAtEnd {
            guard cursor.varint() == 0, let own = cursor.varint(), cursor.take(own) != nil,
                TablePlace(&cursor, limit: footer) != nil
            else { throw malformedIndex }
            count += 1
        }
        guard max(count, 1) == index.restartCount else { throw malformedIndex }
    }

    /// Where the properties lie that a table file says it has. Nothing is verified.
    static func unverifiedProperties(_ bytes: UnsafeRawBufferPointer) -> Range<Int>? {
        let footer = bytes.count - footerBytes
        guard footer >= 0 else { return nil }
        var cursor = TableBytes(bytes, footer + 1..<footer + 41)
        guard
            bytes.loadUnaligned(fromByteOffset: footer + 45, as: UInt64.self).littleEndian == magic,
            let metaindex = TablePlace(&cursor, limit: footer),
            let entries = TableEntries(bytes, metaindex.range),
            let place = list(bytes, entries)?.first(where: { $0.key == propertiesName })?.value
        else { return nil }
        return place.withUnsafeBytes {
            var cursor = TableBytes($0, 0..<$0.count)
            return TablePlace(&cursor, limit: footer)?.range
        }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// Whether the five bytes behind a block say that it is not compressed, and its checksum.
    private static func isSound(
        _ bytes: UnsafeRawBufferPointer, _ block: Range<Int>, hash: ChecksumFunction
    ) -> Bool {
        let kind = bytes[block.upperBound]
        let stored = bytes.loadUnaligned(
            fromByteOffset: block.upperBound + 1, as: UInt32.self
        ).littleEndian
        // RocksDB hashes all but the byte behind the block, and mixes that in: zero changes nothing.
        let actual = UInt32(
            truncatingIfNeeded: hash(UnsafeRawBufferPointer(rebasing: bytes[block])))
        return kind == 0 && actual == stored
    }

    /// What the file says of a key; nil when it says nothing.
    ///
    /// - Throws: `.corrupt` when what should be the key's entry is something else.
    func find(_ key: UnsafeRawBufferPointer) throws -> Finding? {
        guard let block = try part(of: key) else { return nil }
        return try entry(key, in: block)
    }

    /// The highest sequence number of the range deletions that a key is in.
    func rangeDeletion(of key: UnsafeRawBufferPointer) -> UInt64? {
        guard !rangeDeletions.isEmpty else { return nil }
        return rangeDeletions.filter {
            !key.lexicographicallyPrecedes($0.start) && key.lexicographicallyPrecedes($0.end)
        }.map(\.sequence).max()
    }

    // MARK: index

    /// The data block that has a key if any has: the first whose key in the index is not below it.
    func part(of key: UnsafeRawBufferPointer) throws -> Range<Int>? {
        var low = 0
        var high = index.range.isEmpty ? 0 : index.restartCount
        let count = high
        while low < high {
            let middle = (low + high) / 2
            if Self.order(try indexEntry(middle).key, key) < 0 {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low < count else { return nil }
        return try indexEntry(low).place.range
    }

    /// Calls `body` with each data block.
    func forEachPart(_ body: (Range<Int>) throws -> Void) throws {
        guard !index.range.isEmpty else { return }
        for number in 0..<index.restartCount { try body(try indexEntry(number).place.range) }
    }

    /// Whether a data block's checksum is what RocksDB wrote behind it.
    func isSound(_ part: Range<Int>, hash: ChecksumFunction) -> Bool {
        Self.isSound(file.bytes, part, hash: hash)
    }

    private func indexEntry(
        _ number: Int
    ) throws -> (key: UnsafeRawBufferPointer, place: TablePlace) {
        let bytes = file.bytes
        guard let start = index.restart(number, bytes) else { throw malformedIndex }
        var cursor = TableBytes(bytes, start..<index.range.upperBound)
        let tagBytes = indexKeysAreUserKeys ? 0 : Self.tagBytes
        guard cursor.varint() == 0, let count = cursor.varint(), count >= tagBytes,
            let key = cursor.take(count), let place = TablePlace(&cursor, limit: dataEnd)
        else { throw malformedIndex }
        return (
            UnsafeRawBufferPointer(rebasing: bytes[key.lowerBound..<key.upperBound - tagBytes]),
            place
        )
    }

    private var malformedIndex: GradDBError { .corrupt("\(path) has a malformed index") }

    // MARK: data blocks

    /// Looks for a key in a data block: most hold one entry, for a value is rarely so short that
    /// another one fits in beside it.
    private func entry(_ key: UnsafeRawBufferPointer, in block: Range<Int>) throws -> Finding? {
        func broken(_ why: String) -> GradDBError {
            .corrupt("the entry of \(Self.name(of: key)) in \(path) \(why)")
        }
        let bytes = file.bytes
        guard bytes[block.upperBound] == 0, let entries = TableEntries(bytes, block) else {
            throw broken("lies in a malformed part of the file")
        }
        let keyBytes = key.count + Self.tagBytes
        return try withUnsafeTemporaryAllocation(byteCount: keyBytes, alignment: 8) { found in
            var cursor = TableBytes(bytes, entries.range)
            var isFirst = true
            while !cursor.isAtEnd {
                guard let shared = cursor.varint(), let own = cursor.varint(),
                    let size = cursor.varint(), shared <= (isFirst ? 0 : keyBytes),
                    own == keyBytes - shared, let rest = cursor.take(own),
                    let value = cursor.take(size)
                else { throw broken("is malformed") }
                UnsafeMutableRawBufferPointer(rebasing: found[shared...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: bytes[rest]))
                isFirst = false
                let order = Self.order(UnsafeRawBufferPointer(rebasing: found[..<key.count]), key)
                if order > 0 { return nil }
                if order < 0 { continue }
                let tag = UnsafeRawBufferPointer(found).loadUnaligned(
                    fromByteOffset: key.count, as: UInt64.self
                ).littleEndian
                switch (tag & 0xFF, attachedSequence) {
                case (1, let sequence?) where tag >> 8 == 0:
                    return .value(value, sequence: sequence)
                case (1, nil): return .value(value, sequence: tag >> 8)
                case (0, nil), (7, nil): return .deletion(sequence: tag >> 8)
                default: throw broken("is of an unknown kind")
                }
            }
            return nil
        }
    }

    private static func name(of key: UnsafeRawBufferPointer) -> String {
        BlockKey(bytes: key)?.description ?? "a key of \(key.count) bytes"
    }

    /// Below 0, 0 or above 0 as the first key sorts before, is, or sorts behind the second.
    private static func order(
        _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer
    ) -> Int {
        let counts = (first.count, second.count)
        let order =
            if let first = first.baseAddress, let second = second.baseAddress {
                Int(memcmp(first, second, min(counts.0, counts.1)))
            } else { 0 }
        return order != 0 ? order : counts.0 - counts.1
    }

    /// All entries of a block of few; nil when they are malformed.
    private static func list(
        _ bytes: UnsafeRawBufferPointer, _ entries: TableEntries
    ) -> [(key: [UInt8], value: [UInt8])]? {
        var list: [(key: [UInt8], value: [UInt8])] = []
        var cursor = TableBytes(bytes, entries.range)
        var key: [UInt8] = []
        while !cursor.isAtEnd {
            guard let shared = cursor.varint(), let own = cursor.varint(),
                let size = cursor.varint(), shared <= key.count, let rest = cursor.take(own),
                let value = cursor.take(size)
            else { return nil }
            key = [UInt8](key.prefix(shared)) + bytes[rest]
            list.append((key, [UInt8](bytes[value])))
        }
        return list
    }
}
