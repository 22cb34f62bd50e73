// The rows of a table: that each is in a checkpoint once, and has its record, its key and its place in
// every column.

extension TableCheck {
    mutating func checkRows(_ view: TableView, _ dependents: Dependents) throws {
        let name = view.table.name
        guard view.table.head.nextRow > 0 else { return }
        try checkOccurrences(view, dependents)
        try checkDeletedRows(view.table, dependents)
        let all = { (finding: inout Finding) in
            finding.table = name
            dependents.finishAll(&finding)
        }
        for name in view.rowLimit > 0 ? ["id"] + view.table.fields.map(\.name) : [] {
            try note(.column, "the column '\(name)'", all) {
                try ColumnReader(view).forEachRun([name]) { _, _ in }
            }
        }
        guard isDeep else { return }
        var found: [Finding] = []
        let cancellation = self.cancellation
        try note(.deletedRows, "the deleted rows", all) {
            found = try Self.recordFindings(view, dependents, cancellation)
        }
        for finding in found { add(finding) }
    }

    /// In the newest snapshot no row is in a checkpoint twice.
    private mutating func checkOccurrences(_ view: TableView, _ dependents: Dependents) throws {
        for checkpoint in view.checkpoints {
            var seen = RowSet(rowCount: view.rowLimit)
            for segment in view.segments(of: checkpoint) {
                var twice: [UInt64] = []
                for group in 0..<segment.rowGroups {
                    try cancellation.check()
                    // One that cannot be read was reported.
                    guard let rows = try? view.rowMap(segment, group: group) else { continue }
                    for row in rows where !seen.insert(row) { twice.append(row) }
                }
                guard let first = twice.first else { continue }
                var finding = Finding(
                    .rowMap,
                    "segment \(segment.segment) has rows that checkpoint '\(checkpoint.name)' has "
                        + "already: \(twice.count) of them, the first is row \(first)")
                finding.places = [Finding.Place(segment: segment.segment, rowGroup: 0)]
                dependents.complete(&finding, in: segment)
                finding.rows = twice.count
                add(finding)
            }
        }
    }

    /// Each snapshot sees as many deleted rows as it should; without `deep` the newest one.
    private mutating func checkDeletedRows(_ table: Table, _ dependents: Dependents) throws {
        for snapshot in table.snapshots.suffix(isDeep ? Self.mostSnapshots : 1) {
            try cancellation.check()
            let complete = { (finding: inout Finding) in
                finding.table = table.name
                finding.snapshots = [snapshot.snapshot]
                finding.tags = table.tags.filter { $0.value == snapshot.snapshot }.keys.sorted()
            }
            try note(.deletedRows, "the deleted rows of snapshot \(snapshot.snapshot)", complete) {
                _ = try table.view(snapshot: snapshot.snapshot).deletedRows
            }
        }
    }

    /// Snapshots whose deleted rows are looked at: each takes as long as all deletions.
    private static var mostSnapshots: Int { 100 }

    // MARK: records

    /// Every row that a snapshot has, has a record whose id leads back to it.
    ///
    /// - Throws: `.corrupt` where nobody knows which rows there are.
    private static func recordFindings(
        _ view: TableView, _ dependents: Dependents, _ cancellation: Cancellation
    ) throws -> [Finding] {
        let gone = try view.table.absentRows(cancellation)
        let deleted = try view.deletedRows
        var findings: [Finding] = []
        var run: (first: UInt64, error: GradDBError)?
        var limit: UInt64 = 0
        func finish() -> Finding? {
            guard let (first, error) = run else { return nil }
            run = nil
            let rows = limit - first > 1 ? "rows \(first) to \(limit - 1)" : "row \(first)"
            var finding = Finding(
                .record, "the records of \(rows): \(error.message)", table: view.table.name)
            dependents.finish(&finding, rows: first..<limit)
            return finding
        }
        for row in 0..<view.table.head.nextRow {
            if row % 1024 == 0 { try cancellation.check() }
            guard !gone.contains(row) else { continue }
            do {
                let record = try view.record(row: row)
                try requireKey(
                    of: record.id, row, isLive: row < view.rowLimit && !deleted.contains(row), view)
                if let finding = finish() { findings.append(finding) }
            } catch let error as GradDBError where error.isDamage {
                if run == nil { run = (row, error) }
            }
            limit = row + 1
        }
        if let finding = finish() { findings.append(finding) }
        return findings
    }

    private static func requireKey(
        of id: RowID, _ row: UInt64, isLive: Bool, _ view: TableView
    ) throws {
        let key = Keys.id(table: view.table.document.table, id)
        let numbers = try view.store.get(.keys, key)?.withUnsafeBytes(Keys.rowNumbers) ?? []
        guard numbers.contains(row), try !isLive || view.row(of: id) == row else {
            throw GradDBError.corrupt("the key of id \(id) does not lead to its row \(row)")
        }
    }
}
