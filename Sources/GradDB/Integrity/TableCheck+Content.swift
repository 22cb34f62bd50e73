// Whether the newest snapshot holds what it says it holds: its records and vectors, added up anew.

extension TableCheck {
    /// To be called where all else is sound: what cannot be read cannot be added up.
    mutating func checkContent(_ view: TableView) throws {
        guard let document = view.document else { return }
        let table = view.table
        let what = "the content of snapshot \(view.snapshot)"
        let complete = { (finding: inout Finding) in
            finding.table = table.name
            finding.snapshots = [view.snapshot]
            finding.tags = table.tags.filter { $0.value == view.snapshot }.keys.sorted()
        }
        let (threads, cancellation) = (threads, cancellation)
        try note(.content, what, complete) {
            var rows = DeletedRows()
            if let live = try view.liveRows {
                live.forEachRow { rows.insert($0) }
            } else {
                rows.insert(0..<view.rowLimit)
            }
            let sums = try RowContent(view, threads, cancellation).sums(of: rows)
            let active = Set(
                table.layers.flatMap { view.encodings(of: $0) }.map(\.number))
            let hash = sums.restricted(to: active).hash(
                layers: table.layers, in: view.snapshot, checkpoints: view.checkpoints,
                try KernelSet.chosen())
            guard hash == document.hash else {
                throw GradDBError.corrupt(
                    "\(what) of table '\(table.name)' has the hash \(hash), not \(document.hash)")
            }
        }
    }
}
