// Repairs a database: whatever can be read of it is put into a new one next to it, which takes its
// place. The damaged one is not written to, and stays as it is under another name; the two share the
// files of sound blocks.
//
//   lock -> look at every block -> rescue records -> link or copy blocks -> snapshots without what is
//   lost -> exchange the directories

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

package struct Repair {
    private let path: String
    private let threads: Int
    private let cancellation: Cancellation
    private let store: RocksStore
    private let catalog: Catalog
    /// Held as long as this is there.
    private let lock: WriterLock

    /// - Throws: `.notFound`, `.locked` where another process is writing, `.corrupt` where manifest or
    ///   catalog cannot be read: then only a backup helps.
    package init(path: String, threads: Int, cancellation: Cancellation = Cancellation()) throws {
        var path = path
        while path.count > 1, path.last == "/" { path.removeLast() }
        try Database.requireDatabase(path)
        self.path = path
        self.threads = threads
        self.cancellation = cancellation
        lock = try WriterLock(database: path)
        store = try RocksStore(path: path, mode: .inspecting)
        catalog = Catalog(store)
        try Database.checkFormat(catalog, path: path, writing: true)
    }

    /// Repairs what is damaged; a sound database stays as it is, and so does a repaired one of which only
    /// older snapshots lack something.
    ///
    /// - Parameter dryRun: only find out what is lost.
    /// - Throws: `.interrupted`, `.io`, and then nothing is changed, unless the message says that the new
    ///   database is in its place.
    package func run(dryRun: Bool) throws -> RepairReport {
        var report = RepairReport()
        report.brokenFiles = store.liveFiles().filter { !isWhole($0) }.map(\.name)
        let place = RepairPlace(path)
        if !dryRun { report.setAside = try place.tidy() }
        do {
            try place.begin()
            try build(in: place.aside, &report)
            // Every byte once more: only where nothing else says that it is damaged.
            if !report.isWorthIt { report.hasBrokenBytes = try hasBrokenBytes() }
        } catch {
            place.discard()
            throw error
        }
        guard report.isWorthIt, !dryRun else {
            place.discard()
            report.snapshots = [:]
            return report
        }
        report.setAside = try place.exchange()
        return report
    }

    private func isWhole(_ file: LiveFile) -> Bool {
        var status = stat()
        return stat(file.path, &status) == 0 && status.st_size == file.bytes
    }

    /// Whether RocksDB's checksums find something.
    private func hasBrokenBytes() throws -> Bool {
        let files = try FileCheck(
            store, isDeep: true, threads: threads, cancellation: cancellation)
        return try !files.findingsOfNobody.isEmpty
            || !RecordFamilies(store, cancellation).findings().isEmpty
    }

    // MARK: the new database

    private func build(in aside: String, _ report: inout RepairReport) throws {
        let tables = try catalog.documents(Catalog.Key.tables, as: TableDocument.self)
            .map { try Table($0.document, in: store) }
        report.tables = tables.count
        var damage: [TableDamage] = []
        var records: [RescuedRecords] = []
        do {
            let target = try RocksStore(path: aside, mode: .creating)
            try copyCatalog(to: target)
            for table in tables {
                let found = try TableDamage(table, threads: threads, cancellation)
                records.append(try RecordRescue(table, to: target, cancellation).run())
                try BlockRescue(found, from: path, to: target, cancellation).run()
                damage.append(found)
            }
            try target.flushAll()
        }
        let writer = try DatabaseWriter(path: aside)
        for (found, rescued) in zip(damage, records) {
            try report.add(found, rescued)
            let snapshot = try writer.repair(found, rescued, threads: threads, cancellation)
            if let snapshot { report.snapshots[found.table.name] = snapshot }
        }
    }

    /// All documents, or nothing can be repaired. What died on its way to be published is left out.
    private func copyCatalog(to target: RocksStore) throws {
        let batch = WriteBatch(target)
        do {
            try store.forEach(.catalog, prefix: []) { key, value in
                let isReservation = key.starts(with: Catalog.Key.reservations.utf8)
                let name = String(decoding: key, as: UTF8.self)
                let staged =
                    isReservation
                    ? try catalog.document(name, as: ReservationDocument.self)?.staged ?? false
                    : false
                if !isReservation || staged { batch.put(.catalog, [UInt8](key), [UInt8](value)) }
                return true
            }
        } catch let error as GradDBError where error.isDamage {
            throw GradDBError.corrupt(
                "the catalog of \(path) cannot be read, and nothing else tells what is in it; restore "
                    + "it from a backup (\(error.message))")
        }
        try target.write(batch, sync: true)
    }
}

extension RepairReport {
    fileprivate mutating func add(_ damage: TableDamage, _ records: RescuedRecords) throws {
        let table = damage.table
        rowsRestored += records.restored
        if !records.lost.isEmpty {
            var numbers: [UInt64] = []
            records.lost.forEachRow { numbers.append($0) }
            losses.append(.rows(table: table.name, numbers: numbers))
        }
        losses += records.lostContainers.map { container, isInNewest in
            .deletedRows(
                table: table.name,
                rows: DeletedRows.rows(ofContainer: container)
                    .clamped(to: 0..<table.head.nextRow), isInNewest: isInNewest)
        }
        losses += records.lostPreconditioners.map {
            .preconditioner(table: table.name, name: $0.name)
        }
        let newest = try table.newest
        let names = Dictionary(
            uniqueKeysWithValues: table.allCheckpoints.map { ($0.checkpoint, $0.name) })
        for segment in table.allSegments where segment.base == nil {
            let isInNewest = segment.snapshots.contains(newest.snapshot)
            let view = isInNewest ? newest : try table.lastView(of: segment)
            guard let view else { continue }
            var count = 0
            var ids: [RowID] = []
            for group in 0..<segment.rowGroups {
                let unit = ScanUnit(segment: segment, group: group)
                guard let lost = try damage.lostPlaces(view, unit) else { continue }
                count += lost.count
                guard ids.count < 10, let rows = try? view.rowMap(segment, group: group) else {
                    continue
                }
                ids += lost.sorted().prefix(10 - ids.count).compactMap {
                    try? view.record(row: rows[$0]).id
                }
            }
            guard count > 0 else { continue }
            losses.append(
                .vectors(
                    table: table.name, checkpoint: names[segment.checkpoint] ?? "",
                    segment: segment.segment, count: count, ids: ids, isInNewest: isInNewest))
        }
    }
}

extension Table {
    /// Of the last snapshot that has a segment; nil where none is left.
    fileprivate func lastView(of segment: SegmentDocument) throws -> TableView? {
        try snapshots.last { segment.snapshots.contains($0.snapshot) }
            .map { try view(snapshot: $0.snapshot) }
    }
}
