// One table against its catalog: every block, every row map, preconditioners; rows are in
// TableCheck+Rows.

struct TableCheck {
    let files: FileCheck
    let isDeep: Bool
    let threads: Int
    let cancellation: Cancellation
    private(set) var findings: [Finding] = []

    init(files: FileCheck, isDeep: Bool, threads: Int, cancellation: Cancellation) {
        self.files = files
        self.isDeep = isDeep
        self.threads = threads
        self.cancellation = cancellation
    }

    /// - Throws: `.corrupt` where the catalog's documents do not fit each other, `.interrupted`.
    mutating func run(
        _ table: Table, _ report: inout Check.Report, _ progress: (UInt64) -> Void
    ) throws {
        let kernels = try KernelSet.chosen()
        let codecs = try table.codecs(kernels)
        let view = try table.newest
        let dependents = try Dependents(table)
        let problems = report.problems.count
        // What older snapshots have is verified too: all segments, in all their encodings.
        for segment in table.allSegments {
            findings = []
            let units = table.blockKeys(of: segment, codecs).compactMap { key in
                codecs[key.encoding].map { Unit(key: key, kind: $0.kind, codec: $0.codec) }
            }
            let found = try check(units, segment, table.store, kernels)
            report.blocks += units.count
            report.bytes += found.bytes
            add(found, units, segment, dependents)
            if segment.base == nil {
                report.segments += 1
                try checkRowMaps(segment, view, dependents)
            }
            report.problems += findings
            progress(report.bytes)
        }
        findings = []
        checkHash(view, dependents, kernels)
        try checkPreconditioners(table, dependents)
        try checkRows(view, dependents)
        if isDeep, findings.isEmpty, report.problems.count == problems { try checkContent(view) }
        report.problems += findings
    }

    mutating func add(_ finding: Finding) { findings.append(finding) }

    /// Runs `body`; what is broken becomes a finding, which says of what it is.
    mutating func note(
        _ kind: Finding.Kind, _ what: String, _ complete: (inout Finding) -> Void,
        _ body: () throws -> Void
    ) throws {
        do {
            try body()
        } catch let error as GradDBError where error.isDamage {
            let isNamed = error.message.hasPrefix(what)
            var finding = Finding(kind, isNamed ? error.message : "\(what): \(error.message)")
            complete(&finding)
            add(finding)
        }
    }

    // MARK: blocks

    private struct Unit: Sendable {
        let key: BlockKey
        let kind: CodecKind
        let codec: any Codec
    }

    private func check(
        _ units: [Unit], _ segment: SegmentDocument, _ store: RocksStore, _ kernels: KernelSet
    ) throws -> Findings {
        let found = Findings()
        let (files, isDeep, cancellation) = (files, isDeep, cancellation)
        try Parallel.forEach(units.count, threads: threads) { index, _ in
            try cancellation.check()
            let unit = units[index]
            try found.record(index) {
                if let (_, error) = files.brokenFile(of: unit.key.bytes) { throw error }
                let isInDamagedPart = files.isInDamagedPart(unit.key.bytes)
                let block = try BlockReader(
                    store, unit.key, rows: segment.rows(ofGroup: Int(unit.key.rowGroup)),
                    codec: unit.codec, kind: unit.kind, kernels: kernels)
                if isDeep { try block.verifyAll(kernels: kernels) }
                if isInDamagedPart {
                    throw GradDBError.corrupt("the entry of \(unit.key) fails RocksDB's checksum")
                }
                return UInt64(block.layout.byteCount)
            }
        }
        return found
    }

    /// Blocks one by one; those in a file that is broken as a whole, together.
    private mutating func add(
        _ found: Findings, _ units: [Unit], _ segment: SegmentDocument, _ dependents: Dependents
    ) {
        var ofFile: [String: Finding] = [:]
        for (index, error) in found.errors {
            let key = units[index].key
            let place = Finding.Place(
                segment: key.segment, rowGroup: Int(key.rowGroup), encoding: key.encoding,
                slab: Int(key.slab))
            if let (path, _) = files.brokenFile(of: key.bytes) {
                ofFile[path, default: Finding(.file, error.message)].places.append(place)
            } else {
                var finding = Finding(.block, error.message)
                finding.places = [place]
                finding.file = files.fileName(of: key.bytes)
                dependents.complete(&finding, in: segment)
                findings.append(finding)
            }
        }
        for (_, finding) in ofFile.sorted(by: { $0.key < $1.key }) {
            var finding = finding
            dependents.complete(&finding, in: segment)
            finding.message +=
                "; it should hold \(finding.places.count) blocks of segment \(segment.segment)"
            findings.append(finding)
        }
    }

    // MARK: row maps

    /// Every row group has a row map, of its size, that names rows which exist.
    private mutating func checkRowMaps(
        _ segment: SegmentDocument, _ view: TableView, _ dependents: Dependents
    ) throws {
        for group in 0..<segment.rowGroups {
            let complete = { (finding: inout Finding) in
                finding.places = [Finding.Place(segment: segment.segment, rowGroup: group)]
                dependents.complete(&finding, in: segment)
            }
            let what = "the row map of segment \(segment.segment), row group \(group)"
            try note(.rowMap, what, complete) {
                let rows = try view.rowMap(segment, group: group)
                guard rows.allSatisfy({ segment.firstRow <= $0 && $0 <= segment.lastRow }) else {
                    throw GradDBError.corrupt("it has rows that the segment should not have")
                }
            }
        }
    }

    // MARK: content

    /// The newest snapshot's hash is that of its sums and checkpoints.
    private mutating func checkHash(
        _ view: TableView, _ dependents: Dependents, _ kernels: KernelSet
    ) {
        guard let document = view.document else { return }
        let hash = document.sums.hash(
            layers: view.table.layers, in: view.snapshot, checkpoints: view.checkpoints, kernels)
        guard hash != document.hash else { return }
        var finding = Finding(
            .content,
            "snapshot \(view.snapshot) has the hash \(document.hash), and what its document says of "
                + "its content has \(hash)", table: view.table.name)
        dependents.finish(&finding, [SnapshotRanges(from: view.snapshot)])
        add(finding)
    }

    // MARK: preconditioners

    private mutating func checkPreconditioners(_ table: Table, _ dependents: Dependents) throws {
        for preconditioner in table.preconditioners {
            try cancellation.check()
            let check = try PreconditionerCheck(table, preconditioner, isDeep: isDeep)
            for message in try check?.problems(cancellation: cancellation) ?? [] {
                var finding = Finding(.preconditioner, message, table: table.name)
                finding.preconditioner = preconditioner.number
                dependents.finish(&finding, [preconditioner.snapshots])
                add(finding)
            }
        }
    }
}
