// The writing side: one process at a time holds it. Every change is one synced write batch; what a
// writer that died left behind is removed before anything else happens.

import Logging

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A database opened for writing. Holds the database's lock until it goes away.
public final class DatabaseWriter {
    public let path: String
    package let store: RocksStore
    package var catalog: Catalog { Catalog(store) }

    /// Opens for writing and repairs what an interrupted writer left.
    ///
    /// - Throws: `.notFound`, `.locked` when another process is writing, `.formatTooNew`,
    ///   `.corrupt`, `.io`.
    public init(path: String) throws {
        self.path = path
        try Database.requireDatabase(path)
        do {
            store = try RocksStore(path: path, mode: .writing)
        } catch let error as GradDBError {
            // A family that this program does not know belongs to a newer format; RocksDB itself
            // would only say that not all families were opened.
            let known = Set(ColumnFamily.allCases.map(\.rawValue))
            let names = error.kind == .locked ? [] : try? RocksStore.familyNames(path: path)
            let unknown = Set(names ?? []).subtracting(known)
            guard unknown.isEmpty else {
                throw GradDBError(
                    .formatTooNew,
                    "\(path) has parts that this program does not know "
                        + "(\(unknown.sorted().joined(separator: ", "))): use a newer gradctl")
            }
            throw error
        }
        try Database.checkFormat(Catalog(store), path: path, writing: true)
        try Recovery(store: store).run(database: path)
    }

    private let log = Logger(label: "graddb.writer")

    /// Where segments are written before they are attached: on the database's own file system, so
    /// that attaching moves them.
    package var stagingDirectory: String { path + "/staging" }

    package func prepareStaging() throws {
        do {
            try FileManager.default.createDirectory(
                atPath: stagingDirectory, withIntermediateDirectories: true)
        } catch {
            throw GradDBError(
                .io, "cannot make \(stagingDirectory): \(Database.systemReason(error))")
        }
    }

    /// The table, as committed by now.
    public func table(_ name: String) throws -> Table {
        guard
            let document = try catalog.document(Catalog.Key.table(name), as: TableDocument.self)
        else {
            throw GradDBError(.notFound, "no table '\(name)' in the database \(path)")
        }
        return try Table(document, in: store)
    }

    /// Makes a table.
    ///
    /// - Throws: `.usage` for a schema that makes no sense, `.failed` when the table exists.
    @discardableResult
    public func createTable(_ schema: TableSchema) throws -> Table {
        try schema.validate()
        let key = Catalog.Key.table(schema.name)
        guard try catalog.document(key, as: TableDocument.self) == nil else {
            throw GradDBError(
                .failed, "there is a table '\(schema.name)' in the database \(path) already")
        }
        var counters = try self.counters()
        let kernels = try KernelSet.chosen()
        var document = TableDocument(
            table: counters.nextTable, name: schema.name, unit: schema.unit, layers: [],
            fields: schema.fields, rowGroup: schema.rowsPerGroup, created: Timestamp.now())
        for layer in schema.layers {
            let first = document.nextEncoding
            document.layers.append(
                Layer(
                    number: UInt32(document.layers.count), name: layer.name, dims: layer.dims,
                    encodings: zip(first..., layer.codecs.sorted()).map {
                        LayerEncoding(
                            number: $0, codec: $1, snapshots: SnapshotRanges(from: 0))
                    },
                    seed: Array(layer.name.utf8).withUnsafeBytes { kernels.hash($0) },
                    projector: layer.projector))
        }
        counters.nextTable += 1
        let batch = WriteBatch(store)
        try batch.put(Catalog.Key.counters, document: counters)
        try batch.put(key, document: document)
        try batch.put(Catalog.Key.head(document.table), document: HeadDocument())
        try commit(batch)
        return try Table(document, in: store)
    }

    /// Names a snapshot of a table, the newest one when `snapshot` is nil. Moves an existing tag.
    ///
    /// - Returns: the snapshot's number.
    @discardableResult
    public func tag(_ table: String, _ tag: String, snapshot: UInt64?) throws -> UInt64 {
        try TableSchema.validate(name: tag, of: "tag")
        let table = try self.table(table)
        let view = try snapshot.map { try table.view(snapshot: $0) } ?? table.newest
        let batch = WriteBatch(store)
        try batch.put(
            Catalog.Key.tag(table.document.table, tag),
            document: TagDocument(snapshot: view.snapshot))
        try commit(batch)
        return view.snapshot
    }

    /// - Throws: `.usage` when there is no such tag.
    public func deleteTag(_ table: String, _ tag: String) throws {
        let table = try self.table(table)
        guard table.tags[tag] != nil else {
            throw GradDBError.usage("table '\(table.name)' has no tag '\(tag)'")
        }
        let batch = WriteBatch(store)
        batch.delete(document: Catalog.Key.tag(table.document.table, tag))
        try commit(batch)
    }

    // MARK: shared with the ingest

    package func counters() throws -> CountersDocument {
        guard
            let counters = try catalog.document(
                Catalog.Key.counters, as: CountersDocument.self)
        else {
            throw GradDBError.corrupt("the catalog of \(path) has lost its counters")
        }
        return counters
    }

    /// Whether a write failed in a way that leaves the state unknown until the next open.
    package var mustReopen = false

    /// - Throws: `.failed` after a write whose outcome nobody knows.
    package func requireUsable() throws {
        guard !mustReopen else {
            throw GradDBError(
                .failed,
                "an earlier write to \(path) failed, so that its state is unknown; open "
                    + "the database again")
        }
    }

    /// Writes a batch so that it survives power loss, then brings it into table files.
    package func commit(_ batch: WriteBatch) throws {
        try requireUsable()
        do {
            try store.write(batch, sync: true)
        } catch {
            mustReopen = true
            throw error
        }
        // From here on the change is durable and visible: what follows is housekeeping, and its
        // failure (no space, say) must not call a commit failed that has happened.
        do {
            try store.flushAll()
            for family in ColumnFamily.records where store.levelZeroFileCount(family) >= 24 {
                store.compact(family)
            }
        } catch {
            log.warning("\(error)")
        }
    }
}
