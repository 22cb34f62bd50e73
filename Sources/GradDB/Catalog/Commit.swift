// One commit under way, as format-spec/commit.md has its steps: segment numbers are reserved,
// blocks written and attached, and what makes them visible is collected in one batch, which is
// published as a snapshot, or else everything is taken back.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

extension DatabaseWriter {
    /// Runs `body` with a new commit. If it throws, what it wrote is taken back.
    ///
    /// - Parameter segments: how many segment numbers to reserve.
    package func withCommit<R>(
        to table: Table, segments: Int, cancellation: Cancellation, _ body: (Commit) throws -> R
    ) throws -> R {
        try requireUsable()
        try prepareStaging()
        return try run(
            try Commit(self, table: table, segments: segments), cancellation, body)
    }

    /// Runs `body` with a new commit that may write the numbers of a preconditioner ahead. If it
    /// throws, what it wrote is taken back.
    package func withCommit<R>(
        to table: Table, preconditioner: UInt32, cancellation: Cancellation,
        _ body: (Commit) throws -> R
    ) throws -> R {
        try requireUsable()
        try prepareStaging()
        return try run(
            try Commit(self, table: table, segments: 1, preconditioner: preconditioner),
            cancellation, body)
    }

    /// Runs `body` with a commit of what is staged in reserved segments already. If it throws, the
    /// staged ingest is as it was.
    package func withCommit<R>(
        to table: Table, staged first: UInt64, cancellation: Cancellation,
        _ body: (Commit) throws -> R
    ) throws -> R {
        try requireUsable()
        try prepareStaging()
        return try run(try Commit(self, table: table, staged: first), cancellation, body)
    }

    private func run<R>(
        _ commit: Commit, _ cancellation: Cancellation, _ body: (Commit) throws -> R
    ) throws -> R {
        do {
            return try body(commit)
        } catch {
            commit.abandon()
            // An interruption can surface as the end of standard input, or any other way.
            if !commit.isPublishing { try cancellation.check() }
            throw error
        }
    }
}

package final class Commit {
    package let table: Table
    /// What becomes visible with the snapshot, beside what `publish` is told.
    package let batch: WriteBatch
    /// The reserved numbers: nobody else will ever have them.
    package let segments: Range<UInt64>
    package private(set) var isPublishing = false
    private let writer: DatabaseWriter
    private var reservation: ReservationDocument
    private var blocks: SegmentWriter?
    /// Where table files wait for being attached.
    private var directory: String { "\(writer.stagingDirectory)/\(segments.lowerBound)" }

    fileprivate init(
        _ writer: DatabaseWriter, table: Table, segments count: Int, preconditioner: UInt32? = nil
    ) throws {
        self.writer = writer
        self.table = table
        batch = WriteBatch(writer.store)
        reservation = ReservationDocument(
            table: table.document.table, segments: UInt64(count), preconditioner: preconditioner)
        var counters = try writer.counters()
        let first = counters.nextSegment
        counters.nextSegment += UInt64(count)
        segments = first..<counters.nextSegment
        guard count > 0 else { return }
        let batch = WriteBatch(writer.store)
        try batch.put(Catalog.Key.counters, document: counters)
        try batch.put(Catalog.Key.reservation(first), document: reservation)
        try writer.store.write(batch, sync: true)
        // What the catalog keeps in memory holds on to the log that readers replay.
        if preconditioner != nil { try writer.store.flush([.catalog]) }
    }

    /// Goes on with the reservation of a staged ingest.
    fileprivate init(_ writer: DatabaseWriter, table: Table, staged first: UInt64) throws {
        self.writer = writer
        self.table = table
        batch = WriteBatch(writer.store)
        let key = Catalog.Key.reservation(first)
        guard
            var reservation = try writer.catalog.document(key, as: ReservationDocument.self),
            reservation.staged == true, reservation.table == table.document.table
        else { throw GradDBError.corrupt("the catalog has lost the document '\(key)'") }
        reservation.attaching = true
        self.reservation = reservation
        segments = first..<first + reservation.segments
        let batch = WriteBatch(writer.store)
        try batch.put(key, document: reservation)
        try writer.store.write(batch, sync: true)
    }

    /// Makes it known that records of unpublished rows will be written before the publication.
    package func announceSpill() throws {
        guard !reservation.spilled else { return }
        reservation.spilled = true
        let batch = WriteBatch(writer.store)
        try batch.put(Catalog.Key.reservation(segments.lowerBound), document: reservation)
        try writer.store.write(batch, sync: true)
        // What the catalog keeps in memory holds on to the log that readers replay.
        try writer.store.flush([.catalog])
    }

    /// Hands a row group over to be written; groups come in the order of their keys. `group` must
    /// stay untouched until the next call, or until `waitForWriting`.
    package func append(_ group: EncodedRowGroup) throws {
        let blocks =
            try self.blocks ?? SegmentWriter(directory: directory)
        self.blocks = blocks
        try blocks.append(group)
    }

    package func waitForWriting() throws { try blocks?.wait() }

    /// Makes all that was appended part of the database, not yet visible.
    package func attach() throws {
        guard let blocks else { return }
        try writer.store.ingest(try blocks.finish(), into: .blocks)
    }

    /// The same for table files that are there already: they keep the names that they have, so
    /// that they survive a commit which is not published.
    package func attach(copiesOf files: [String]) throws {
        try? FileManager.default.removeItem(atPath: directory)
        try DurableFiles.makeDirectory(directory)
        let links = files.indices.map { "\(directory)/\($0).sst" }
        for (file, link) in zip(files, links) { try DurableFiles.link(file, to: link) }
        try DurableFiles.syncDirectory(directory)
        try writer.store.ingest(links, into: .blocks)
    }

    /// One synced batch: afterwards the snapshot exists, whole.
    package func publish(_ next: NextSnapshot) throws {
        let started = ContinuousClock.now
        try next.write(to: batch, kernels: try KernelSet.chosen())
        if !self.segments.isEmpty {
            batch.delete(document: Catalog.Key.reservation(self.segments.lowerBound))
        }
        try writer.store.requireRoom(for: batch.byteCount)
        isPublishing = true
        try writer.commit(batch)
        EngineMetrics.published(next, newSegments: self.segments, since: started)
        discardFiles()
    }

    private func discardFiles() {
        blocks?.discard()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Takes back what was written. A failure here is left to the next writer's recovery, and so
    /// is everything once publishing has begun: after a failed sync nobody knows whether the
    /// snapshot exists, until the database is opened again.
    package func abandon() {
        discardFiles()
        guard !isPublishing else {
            writer.mustReopen = true
            return
        }
        guard !segments.isEmpty else { return }
        do {
            try Recovery(store: writer.store).undo(reservation, segment: segments.lowerBound)
        } catch {
            writer.mustReopen = true
        }
    }
}
