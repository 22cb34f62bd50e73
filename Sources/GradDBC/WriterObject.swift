// What a `graddb_writer` stands for: one rank of a staged ingest, used by one call at a time.

import CGradDB
import GradDB
import Synchronization

final class WriterObject: @unchecked Sendable {
    // `writer` is reached through `use` only, by one thread at a time.
    private let writer: StagedWriter
    private let isBusy = Atomic<Bool>(false)
    private let projectors: [String: ProjectorDocument]
    let earlierRows: Int

    init(
        database path: String, table: String, options: StagedOptions,
        projectors: [String: ProjectorDocument], cancellation: Cancellation
    ) throws {
        writer = try StagedWriter(
            database: path, table: table, options: options, cancellation: cancellation)
        earlierRows = writer.earlierRows
        self.projectors = projectors
    }

    /// - Throws: `.usage` while another call is using the writer.
    func use<R>(_ body: (StagedWriter) throws -> R) throws -> R {
        guard
            isBusy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged
        else {
            throw GradDBError(
                .usage, "another call is using this writer; give each thread its own rank")
        }
        defer { isBusy.store(false, ordering: .releasing) }
        return try body(writer)
    }

    func append(
        _ tensors: UnsafeBufferPointer<graddb_tensor>, ids: graddb_column,
        fields: UnsafeBufferPointer<graddb_column>
    ) throws -> Int {
        try use { writer in
            let table = writer.table
            let batch = try batch(tensors, "the vectors", projectors: projectors)
                .named(forLayers: table.layers.map(\.name))
            let rows = try batch.rowCount(of: table.layers.map(\.name))
            let metadata = try ColumnMetadata(
                ids: ids, fields: fields, of: table.fields, rows: rows)
            let (ids, values) = try metadata.all()
            return try writer.append(batch, ids: ids, fields: fields.isEmpty ? nil : values)
                .skipped
        }
    }

    /// For a writer that is freed while open: what is finished stays.
    func abandon() { try? use { $0.abandon() } }
}
