// Writes a database anew from the entries of its families. `keys` are made of `rows`; the document
// `database` comes last, so that nothing takes what is half written for a database.

final class DatabaseRebuild {
    private let store: RocksStore
    private let directory: String
    private let batch: WriteBatch
    /// Row numbers by key of `keys`, of rows in the batch.
    private var rowsOfIDs: [[UInt8]: [UInt64]] = [:]
    private var databaseDocument: [UInt8]?
    private var sst: SSTWriter?
    private var segment: [UInt8] = []
    private var lastBlock: [UInt8] = []
    private var files: [String] = []
    private var fileCount = 0

    /// A batch larger than this is written.
    private static let batchBytes = 16 << 20
    /// A table file is finished when it has grown beyond this.
    private static let fileBytes = 1 << 30
    /// So many table files are attached together.
    private static let filesAtOnce = 64

    /// - Parameter path: a directory that is there and has no database.
    init(path: String) throws {
        store = try RocksStore(path: path, mode: .creating)
        batch = WriteBatch(store)
        directory = path + "/staging"
        try DurableFiles.makeDirectory(directory)
    }

    /// Takes an entry of a family; those of `blocks` and `rows` come in the order of their keys.
    ///
    /// - Throws: `.corrupt`, `.io`.
    func append(
        _ family: ColumnFamily, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws {
        if family == .blocks { return try appendBlock(key, value) }
        let key = [UInt8](key)
        if family == .catalog, key.elementsEqual(Catalog.Key.database.utf8) {
            databaseDocument = [UInt8](value)
            return
        }
        batch.put(family, key, [UInt8](value))
        if family == .rows {
            let (id, row) = try Self.identity(key, value)
            rowsOfIDs[id, default: []].append(row)
        }
        if batch.byteCount > Self.batchBytes { try flush() }
    }

    /// The key of `keys` that leads to a row, and the row's number.
    private static func identity(
        _ key: [UInt8], _ record: UnsafeRawBufferPointer
    ) throws -> (key: [UInt8], row: UInt64) {
        let (table, row) = try key.withUnsafeBytes { key in
            guard key.count == 12 else {
                throw GradDBError.corrupt("there is a row record with a malformed key")
            }
            return (
                UInt32(bigEndian: key.loadUnaligned(as: UInt32.self)),
                UInt64(bigEndian: key.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
            )
        }
        let what = "the record of row \(row)"
        return (Keys.id(table: table, try RowRecord.id(of: record, what: what)), row)
    }

    private func flush() throws {
        for (key, rows) in rowsOfIDs {
            var value = try store.get(.keys, key) ?? []
            for row in rows { value.append(littleEndian: row) }
            batch.put(.keys, key, value)
        }
        rowsOfIDs.removeAll(keepingCapacity: true)
        try write(sync: false)
    }

    private func write(sync: Bool) throws {
        try store.requireRoom(for: batch.byteCount)
        try store.write(batch, sync: sync)
        batch.clear()
    }

    // MARK: blocks

    private func appendBlock(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer
    ) throws {
        let key = [UInt8](key)
        guard key.count == BlockKey.byteCount, lastBlock.lexicographicallyPrecedes(key) else {
            throw GradDBError.corrupt("there are blocks whose keys do not ascend")
        }
        lastBlock = key
        // A file holds blocks of one segment.
        let segment = Array(key.prefix(12))
        if segment != self.segment || (sst?.fileBytes ?? 0) > Self.fileBytes {
            try finishFile()
            self.segment = segment
        }
        let sst = try self.sst ?? SSTWriter(path: "\(directory)/\(fileCount).sst")
        if self.sst == nil {
            self.sst = sst
            files.append(sst.path)
            fileCount += 1
        }
        try sst.put(key, value)
    }

    private func finishFile() throws {
        try sst?.finish()
        sst = nil
        if files.count >= Self.filesAtOnce { try attach() }
    }

    private func attach() throws {
        try DurableFiles.syncDirectory(directory)
        try store.ingest(files, into: .blocks)
        files.removeAll()
    }

    // MARK: the end

    /// Makes everything durable, and a database of it.
    ///
    /// - Throws: `.corrupt` when there was no document `database`, `.io`.
    func finish() throws {
        try finishFile()
        try attach()
        try flush()
        guard let databaseDocument else {
            throw GradDBError.corrupt(
                "there is no catalog document '\(Catalog.Key.database)'")
        }
        batch.put(.catalog, Array(Catalog.Key.database.utf8), databaseDocument)
        try write(sync: true)
        try store.flushAll()
        for family in ColumnFamily.records where store.levelZeroFileCount(family) >= 24 {
            store.compact(family)
        }
    }
}

extension RowRecord {
    /// The id that a record begins with.
    ///
    /// - Throws: `.corrupt`.
    static func id(of record: UnsafeRawBufferPointer, what: String) throws -> RowID {
        var reader = ByteReader(record, what: what)
        return switch try reader.integer(UInt8.self) {
        case 1: .int(try reader.integer(Int64.self))
        case 2: .string(try reader.prefixedString())
        default: throw GradDBError.corrupt("\(what) has an unknown kind of id")
        }
    }
}
