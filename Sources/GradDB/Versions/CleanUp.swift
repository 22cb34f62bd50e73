// The clean-up: removes what no snapshot has. format-spec/versions.md says what that is, and why it can
// be interrupted anywhere.

extension Database {
    /// What a clean-up would remove, and no writer has to be kept out to know it; what interrupted writers
    /// left is not counted.
    ///
    /// - Throws: `.interrupted`, `.corrupt`, `.io`.
    package func garbage(_ cancellation: Cancellation = Cancellation()) throws -> GarbageReport {
        var report = GarbageReport()
        for garbage in try catalog.garbage(in: store, cancellation) { report += garbage.report }
        return report
    }
}

extension Catalog {
    /// Of each table.
    fileprivate func garbage(
        in store: RocksStore, _ cancellation: Cancellation
    ) throws -> [Garbage] {
        try documents(Catalog.Key.tables, as: TableDocument.self).map {
            try Garbage(try Table($0.document, in: store), cancellation)
        }
    }
}

extension DatabaseWriter {
    /// Removes the garbage of all tables of a database.
    ///
    /// Opens it for writing, which removes what interrupted writers left, and once more at the end: the
    /// manifest and the log then begin anew, without the keys of what is gone.
    ///
    /// - Throws: `.notFound`, `.locked`, `.interrupted`, `.corrupt`, `.io`.
    package static func cleanUp(
        path: String, cancellation: Cancellation = Cancellation()
    ) throws -> GarbageReport {
        let before = try Database(path: path).bytes
        var report = try DatabaseWriter(path: path).cleanUp(cancellation)
        let reopened = try DatabaseWriter(path: path)
        try reopened.finishCleanUp()
        let after = reopened.store.liveFileBytes()
        report.fileBytes = before - min(before, after)
        return report
    }

    private func cleanUp(_ cancellation: Cancellation) throws -> GarbageReport {
        var report = GarbageReport()
        let garbage = try catalog.garbage(in: store, cancellation)
        for garbage in garbage { report += garbage.report }
        guard try !report.isEmpty || isCleanUpUnfinished else { return report }
        try requireUsable()
        // What is gone lies in table files until those are written anew: who is killed before that
        // leaves nothing that the next clean-up would find.
        let begun = WriteBatch(store)
        try begun.put(Catalog.Key.cleanUp, document: CleanUpDocument())
        try store.write(begun, sync: true)
        for garbage in garbage {
            try cancellation.check()
            try remove(garbage, cancellation)
        }
        try store.flushAll()
        for family in ColumnFamily.records { store.compact(family) }
        EngineMetrics.add(report.bytes, to: .collectedBytes)
        return report
    }

    /// Whether one has begun whose end nobody has seen.
    private var isCleanUpUnfinished: Bool {
        get throws {
            try catalog.document(Catalog.Key.cleanUp, as: CleanUpDocument.self) != nil
        }
    }

    /// To be called when the database was opened anew after all else.
    private func finishCleanUp() throws {
        guard try isCleanUpUnfinished else { return }
        let batch = WriteBatch(store)
        batch.delete(document: Catalog.Key.cleanUp)
        try commit(batch)
    }

    private func remove(_ garbage: Garbage, _ cancellation: Cancellation) throws {
        let reservations = try hand(garbage)
        let recovery = Recovery(store: store)
        for (segment, reservation) in reservations {
            try recovery.undo(reservation, segment: segment)
        }
        try Forgetting(garbage.table).forget(garbage.rows, cancellation)
    }

    /// Removes the documents of garbage, and puts reservations in their place: from then on it is what
    /// a writer left that died.
    private func hand(_ garbage: Garbage) throws -> [(UInt64, ReservationDocument)] {
        let table = garbage.table.document.table
        let batch = WriteBatch(store)
        var reservations: [(UInt64, ReservationDocument)] = []
        for segment in garbage.segments {
            batch.delete(document: Catalog.Key.segment(table, segment.segment))
            reservations.append((segment.segment, ReservationDocument(table: table, segments: 1)))
        }
        for segment in garbage.emptied {
            var emptied = segment
            emptied.encodings = []
            try batch.put(Catalog.Key.segment(table, segment.segment), document: emptied)
            var reservation = ReservationDocument(table: table, segments: 1)
            reservation.keepsRows = true
            reservations.append((segment.segment, reservation))
        }
        if !garbage.preconditioners.isEmpty {
            var counters = try self.counters()
            for preconditioner in garbage.preconditioners {
                batch.delete(document: Catalog.Key.preconditioner(table, preconditioner.number))
                reservations.append(
                    (
                        counters.nextSegment,
                        ReservationDocument(
                            table: table, segments: 1, preconditioner: preconditioner.number)
                    ))
                counters.nextSegment += 1
            }
            try batch.put(Catalog.Key.counters, document: counters)
        }
        for checkpoint in garbage.checkpoints {
            batch.delete(document: Catalog.Key.checkpoint(table, checkpoint.checkpoint))
        }
        for key in garbage.containers { batch.delete(.fields, key) }
        for (segment, reservation) in reservations {
            try batch.put(Catalog.Key.reservation(segment), document: reservation)
        }
        guard batch.byteCount > 0 else { return [] }
        try store.requireRoom(for: batch.byteCount)
        try commit(batch)
        return reservations
    }
}

extension GarbageReport {
    fileprivate static func += (sum: inout GarbageReport, other: GarbageReport) {
        sum.segments += other.segments
        sum.rows += other.rows
        sum.checkpoints += other.checkpoints
        sum.preconditioners += other.preconditioners
        sum.deletedRowContainers += other.deletedRowContainers
        sum.bytes += other.bytes
    }
}
