// Removes what a writer left behind that never published: format-spec/commit.md lists the states.
//
// Runs under the database's lock, before anything is written, so that every reservation found
// belongs to a writer that is gone. Each step may be interrupted and run again: the reservation
// goes last.

import Logging

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

package struct Recovery {
    private let store: RocksStore
    private let log = Logger(label: "graddb.recovery")

    package init(store: RocksStore) { self.store = store }

    /// - Parameter database: the database's directory.
    package func run(database: String) throws {
        let reservations = try Catalog(store).documents(
            Catalog.Key.reservations, as: ReservationDocument.self)
        for (suffix, reservation) in reservations {
            guard let segment = UInt64(suffix, radix: 16) else {
                throw GradDBError.corrupt("the catalog has a reservation named '\(suffix)'")
            }
            var left = reservation
            if reservation.staged == true {
                if try StagedDirectory.isThere(database, segment: segment) {
                    guard reservation.attaching == true else { continue }
                } else {
                    left.staged = nil
                }
            }
            try undo(left, segment: segment)
            EngineMetrics.add(1, to: .recoveries)
            log.notice("removed what an interrupted writer left behind (segment \(segment))")
        }
        try? FileManager.default.removeItem(atPath: database + "/staging")
        try StagedDirectory.removeStale(in: database, catalog: Catalog(store))
    }

    /// Takes back everything that unpublished segments may have left in the database.
    package func undo(_ reservation: ReservationDocument, segment first: UInt64) throws {
        let table = reservation.table
        let (end, isTooFar) = first.addingReportingOverflow(reservation.segments)
        guard !isTooFar else {
            throw GradDBError.corrupt("the reservation of segment \(first) is malformed")
        }
        try removeBlocks(
            from: Keys.segmentPrefix(table: table, segment: first),
            to: Keys.segmentPrefix(table: table, segment: end))
        let batch = WriteBatch(store)
        if reservation.spilled { try removeRecords(table: table, batch) }
        if let preconditioner = reservation.preconditioner {
            try removeNumbers(of: preconditioner, table: table, batch)
        }
        if reservation.keepsRows != true {
            try delete(
                .fields, from: Keys.rowMapPrefix(table: table, segment: first),
                to: Keys.rowMapPrefix(table: table, segment: end), batch)
            try removeNorms(table: table, from: first, to: end, batch)
        }
        if reservation.staged == true {
            // The table files lie where the ranks wrote them: the commit can be tried again.
            var waiting = reservation
            waiting.spilled = false
            waiting.attaching = false
            try batch.put(Catalog.Key.reservation(first), document: waiting)
        } else {
            batch.delete(document: Catalog.Key.reservation(first))
        }
        try store.write(batch, sync: true)
        try store.flushAll()
    }

    private func removeBlocks(from start: [UInt8], to end: [UInt8]) throws {
        // The files of one commit hold nothing else, so whole files go, without tombstones.
        try store.deleteFiles(.blocks, from: start, to: end)
        var isEmpty = true
        try store.forEach(.blocks, prefix: [], from: start, includingRanges: true) { key, _ in
            isEmpty = !key.lexicographicallyPrecedes(end)
            return false
        }
        guard !isEmpty else { return }
        let batch = WriteBatch(store)
        batch.deleteBlocks(from: start, to: end)
        try store.write(batch, sync: true)
        try store.flush([.blocks])
        store.compact(.blocks, from: start, to: end)
    }

    /// Removes the numbers and norms of a preconditioner that was not published.
    private func removeNumbers(
        of preconditioner: UInt32, table: UInt32, _ batch: WriteBatch
    ) throws {
        let prefixes = [
            Keys.preconditionerPrefix(table: table, preconditioner: preconditioner),
            Keys.normsPrefix(table: table, preconditioner: preconditioner),
        ]
        for prefix in prefixes {
            guard let end = Keys.end(ofPrefix: prefix) else { continue }
            try store.deleteFiles(.fields, from: prefix, to: end)
            try delete(.fields, from: prefix, to: end, batch)
        }
    }

    /// Removes the norms of segments' rows under all preconditioners that there are.
    private func removeNorms(
        table: UInt32, from first: UInt64, to end: UInt64, _ batch: WriteBatch
    ) throws {
        let preconditioners = try Catalog(store).documents(
            Catalog.Key.preconditioners(table), as: PreconditionerDocument.self)
        for (_, preconditioner) in preconditioners {
            func key(_ segment: UInt64) -> [UInt8] {
                Keys.norms(
                    table: table, preconditioner: preconditioner.number, segment: segment,
                    rowGroup: 0)
            }
            try delete(.fields, from: key(first), to: key(end), batch)
        }
    }

    /// Removes keys, records and columns of rows that no snapshot has.
    private func removeRecords(table: UInt32, _ batch: WriteBatch) throws {
        let catalog = Catalog(store)
        let head: HeadDocument = try catalog.document(Catalog.Key.head(table)) ?? HeadDocument()
        try delete(
            .rows, from: Keys.row(table: table, head.nextRow), prefix: Keys.tablePrefix(table),
            batch)
        if let document = try catalog.documents(Catalog.Key.tables, as: TableDocument.self)
            .first(where: { $0.document.table == table })?.document
        {
            let fields = UInt32(document.fields.count)
            for field in (0..<fields) + [RowRegistry.idColumn] {
                try delete(
                    .fields,
                    from: Keys.column(table: table, field: field, firstRow: head.nextRow),
                    prefix: Keys.columnPrefix(table: table, field: field), batch)
            }
        } else {
            // A table that was to be made by the same commit.
            try delete(
                .fields, from: Keys.tablePrefix(table), prefix: Keys.tablePrefix(table), batch)
        }
        try store.forEach(.keys, prefix: Keys.tablePrefix(table)) { key, value in
            // An id that was deleted, and came again, keeps the numbers that it had.
            let numbers = Keys.rowNumbers(value) ?? []
            let kept = numbers.filter { $0 < head.nextRow }
            if kept.isEmpty, !numbers.isEmpty {
                batch.delete(.keys, [UInt8](key))
            } else if kept.count < numbers.count {
                batch.put(.keys, [UInt8](key), Keys.value(rowNumbers: kept))
            }
            try write(batch)
            return true
        }
    }

    private func delete(
        _ family: ColumnFamily, from start: [UInt8], prefix: [UInt8], _ batch: WriteBatch
    ) throws {
        guard let end = Keys.end(ofPrefix: prefix) else { return }
        try delete(family, from: start, to: end, batch)
    }

    private func delete(
        _ family: ColumnFamily, from start: [UInt8], to end: [UInt8], _ batch: WriteBatch
    ) throws {
        try store.forEach(family, prefix: [], from: start) { key, _ in
            guard key.lexicographicallyPrecedes(end) else { return false }
            batch.delete(family, [UInt8](key))
            try write(batch)
            return true
        }
    }

    /// Writes a batch that has become large: nothing in it needs what comes after it.
    private func write(_ batch: WriteBatch) throws {
        guard batch.byteCount > 16 << 20 else { return }
        try store.write(batch, sync: true)
        batch.clear()
    }
}
