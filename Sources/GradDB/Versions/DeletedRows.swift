// The rows that a snapshot has deleted, as format-spec/database.md stores them: a bitmap for each
// 65,536 row numbers, written anew in the snapshots that change it.

/// Row numbers of one table.
package struct DeletedRows: Equatable, Sendable {
    package static let rowsPerContainer = 65_536
    private static let wordsPerContainer = rowsPerContainer / 64

    /// By container; those without a row are not there.
    private var containers: [UInt32: [UInt64]] = [:]

    package init() {}

    package var isEmpty: Bool { containers.isEmpty }

    package var count: Int {
        containers.values.reduce(0) { $0 + $1.reduce(0) { $0 + $1.nonzeroBitCount } }
    }

    package func contains(_ row: UInt64) -> Bool {
        let place = Self.place(row)
        guard let words = containers[place.container] else { return false }
        return words[place.word] & place.bit != 0
    }

    /// Inserts a row; false when it was there.
    @discardableResult
    package mutating func insert(_ row: UInt64) -> Bool {
        let place = Self.place(row)
        let isNew =
            (containers[place.container]?[place.word] ?? 0) & place.bit == 0
        containers[
            place.container, default: [UInt64](repeating: 0, count: Self.wordsPerContainer)
        ][place.word] |= place.bit
        return isNew
    }

    package mutating func insert(_ rows: Range<UInt64>) {
        var row = rows.lowerBound
        while row < rows.upperBound {
            let place = Self.place(row)
            let end = min(rows.upperBound, (row / 64 + 1) * 64)
            let count = end - row
            let bits: UInt64 = count == 64 ? .max : (1 << count - 1) << (row % 64)
            containers[
                place.container, default: [UInt64](repeating: 0, count: Self.wordsPerContainer)
            ][place.word] |= bits
            row = end
        }
    }

    /// Takes out all that are not in `other`.
    package mutating func formIntersection(_ other: DeletedRows) {
        containers = containers.reduce(into: [:]) { result, part in
            guard let others = other.containers[part.key] else { return }
            let both = zip(part.value, others).map { $0 & $1 }
            if both.contains(where: { $0 != 0 }) { result[part.key] = both }
        }
    }

    /// The rows below a number that are not in here.
    package func liveRows(below limit: UInt64) -> RowSet {
        var rows = RowSet.all(below: limit)
        for (container, words) in containers {
            rows.subtract(words, fromWord: Int(container) * Self.wordsPerContainer)
        }
        return rows
    }

    /// In ascending order.
    package func forEachRow(_ body: (UInt64) throws -> Void) rethrows {
        for (container, words) in containers.sorted(by: { $0.key < $1.key }) {
            let first = Self.rows(ofContainer: container).lowerBound
            for (index, word) in words.enumerated() {
                var left = word
                while left != 0 {
                    try body(first + UInt64(index * 64 + left.trailingZeroBitCount))
                    left &= left - 1
                }
            }
        }
    }

    /// The rows that a container is of.
    static func rows(ofContainer container: UInt32) -> Range<UInt64> {
        let first = UInt64(container) * UInt64(rowsPerContainer)
        return first..<first + UInt64(rowsPerContainer)
    }

    private static func place(_ row: UInt64) -> (container: UInt32, word: Int, bit: UInt64) {
        let index = Int(row % UInt64(rowsPerContainer))
        return (UInt32(row / UInt64(rowsPerContainer)), index / 64, 1 << (row % 64))
    }
}

// MARK: stored

extension DeletedRows {
    /// What a snapshot sees.
    ///
    /// - Throws: `.corrupt` where one of its containers is lost.
    init(_ store: RocksStore, table: UInt32, in snapshot: UInt64) throws {
        let lost = try readContainers(store, table: table, in: snapshot)
        if let error = lost.first?.error { throw error }
    }

    /// What a snapshot sees, without the containers that are lost.
    init(
        rescuedFrom store: RocksStore, table: UInt32, in snapshot: UInt64, lost: inout [UInt32]
    ) throws {
        lost = try readContainers(store, table: table, in: snapshot).map(\.container)
    }

    /// Returns the containers that cannot be read, in ascending order.
    private mutating func readContainers(
        _ store: RocksStore, table: UInt32, in snapshot: UInt64
    ) throws -> [(container: UInt32, error: GradDBError)] {
        // Versions of a container ascend: the last one that counts stays.
        var seen: [UInt32: (version: UInt64, value: [UInt8])] = [:]
        try Self.forEachContainer(store, table: table) { container, version, value in
            if version <= snapshot { seen[container] = (version, [UInt8](value)) }
        }
        var lost: [(UInt32, GradDBError)] = []
        for (container, (version, value)) in seen.sorted(by: { $0.key < $1.key }) {
            do {
                let words = try value.withUnsafeBytes { try Self.words($0, container, version) }
                if words.contains(where: { $0 != 0 }) { containers[container] = words }
            } catch let error as GradDBError where error.isDamage {
                lost.append((container, error))
            }
        }
        return lost
    }

    /// Whether a stored value can be read.
    static func isWhole(_ value: UnsafeRawBufferPointer) -> Bool {
        (try? words(value, 0, 0)) != nil
    }

    /// What stands for a value that is lost.
    static let lostValue: [UInt8] = []

    /// Calls `body` with each stored version of each container, in ascending order of both.
    static func forEachContainer(
        _ store: RocksStore, table: UInt32,
        _ body: (_ container: UInt32, _ snapshot: UInt64, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try store.forEach(.fields, prefix: Keys.deletedRowsPrefix(table: table)) { key, value in
            guard let (container, snapshot) = Keys.deletedRowsPlace(key) else {
                throw GradDBError.corrupt("a key of deleted rows of table \(table) is malformed")
            }
            try body(container, snapshot, value)
            return true
        }
    }

    private static func words(
        _ value: UnsafeRawBufferPointer, _ container: UInt32, _ snapshot: UInt64
    ) throws -> [UInt64] {
        let what = "the deleted rows of container \(container) in snapshot \(snapshot)"
        guard !value.isEmpty else {
            throw GradDBError.corrupt("\(what) are lost: a repair could not read them")
        }
        let bytes = try Zstd.decompress(value, what: what)
        return try bytes.withUnsafeBytes { bytes in
            var reader = ByteReader(bytes, what: what)
            let words = try reader.array(of: UInt64.self, count: wordsPerContainer)
            try reader.expectEnd()
            return words
        }
    }

    /// Writes what `snapshot` sees otherwise than the one before it.
    func write(
        changesFrom before: DeletedRows, table: UInt32, in snapshot: UInt64, _ batch: WriteBatch
    )
        throws
    {
        let none = [UInt64](repeating: 0, count: Self.wordsPerContainer)
        for container in Set(containers.keys).union(before.containers.keys).sorted() {
            let words = containers[container] ?? none
            guard words != before.containers[container] ?? none else { continue }
            var bytes: [UInt8] = []
            bytes.append(littleEndianArray: words)
            batch.put(
                .fields,
                Keys.deletedRows(table: table, container: container, snapshot: snapshot),
                try Zstd.compress(bytes))
        }
    }
}
