// Reads a database and says what is broken: the structure, or every stored byte.

/// Verifies a database that is open for reading.
public struct Check {
    /// One thing that is wrong.
    public struct Problem: Sendable {
        public var message: String
        public var table: String
    }

    /// What was looked at, and what was found.
    public struct Report: Sendable {
        public var tables = 0
        public var segments = 0
        public var blocks = 0
        /// Bytes of blocks that were looked at.
        public var bytes: UInt64 = 0
        public var problems: [Problem] = []

        public var isOK: Bool { problems.isEmpty }
    }

    private let database: Database
    private let isDeep: Bool
    private let threads: Int
    private let cancellation: Cancellation

    /// - Parameter deep: verify every checksum of every block and record, RocksDB's too.
    public init(
        _ database: Database, deep: Bool, threads: Int, cancellation: Cancellation = .init()
    ) {
        self.database = database
        isDeep = deep
        self.threads = threads
        self.cancellation = cancellation
    }

    /// - Parameter progress: called after each segment, with the bytes looked at so far.
    /// - Throws: only when the check itself cannot go on; damage is in the report.
    public func run(progress: (UInt64) -> Void = { _ in }) throws -> Report {
        var report = Report()
        for name in try database.tableNames() {
            report.tables += 1
            do {
                try check(try database.table(name), &report, progress)
            } catch let error as GradDBError where error.kind == .corrupt {
                report.problems.append(Problem(message: error.message, table: name))
            }
        }
        if isDeep { try checkFamilies(&report) }
        return report
    }

    // MARK: one table

    private func check(
        _ table: Table, _ report: inout Report, _ progress: (UInt64) -> Void
    ) throws {
        let view = try table.newest
        let kernels = try KernelSet.chosen()
        let codecs = try codecs(of: table, kernels)
        // What older snapshots have is verified too: all segments, in all their encodings.
        for segment in table.allSegments {
            var units: [(key: BlockKey, kind: CodecKind, codec: any Codec)] = []
            for group in 0..<segment.rowGroups {
                for part in segment.encodings {
                    guard let (kind, codec) = codecs[part.encoding] else { continue }
                    for slab in 0..<codec.geometry.slabCount {
                        let key = BlockKey(
                            table: table.document.table, segment: segment.segment,
                            rowGroup: UInt32(group), encoding: part.encoding, slab: UInt32(slab))
                        units.append((key, kind, codec))
                    }
                }
            }
            let found = Findings(count: units.count)
            let isDeep = self.isDeep
            let cancellation = self.cancellation
            let fixedUnits = units
            try Parallel.forEach(units.count, threads: threads) { index, _ in
                try cancellation.check()
                let unit = fixedUnits[index]
                found.record(index) {
                    let block = try BlockReader(
                        table.store, unit.key,
                        rows: segment.rows(ofGroup: Int(unit.key.rowGroup)), codec: unit.codec,
                        kind: unit.kind, kernels: kernels)
                    if isDeep { try block.verifyAll(kernels: kernels) }
                    return UInt64(block.layout.byteCount)
                }
            }
            report.blocks += units.count
            report.bytes += found.bytes
            report.problems += found.problems.map { Problem(message: $0, table: table.name) }
            if segment.base == nil {
                report.segments += 1
                try checkRows(segment, view, &report)
            }
            progress(report.bytes)
        }
        for preconditioner in table.preconditioners {
            try cancellation.check()
            report.problems += try PreconditionerCheck(table, preconditioner, isDeep: isDeep)
                .problems(cancellation: cancellation)
                .map { Problem(message: $0, table: table.name) }
        }
        try checkRecords(view, &report)
    }

    /// Of all encodings that a table ever had, by number.
    private func codecs(
        of table: Table, _ kernels: KernelSet
    ) throws -> [UInt32: (kind: CodecKind, codec: any Codec)] {
        var codecs: [UInt32: (CodecKind, any Codec)] = [:]
        for layer in table.layers {
            for encoding in layer.encodings {
                codecs[encoding.number] = (
                    encoding.codec, try table.codec(layer, encoding.codec, kernels)
                )
            }
        }
        return codecs
    }

    /// Every row group has a row map, of its size, that names rows which exist.
    private func checkRows(
        _ segment: SegmentDocument, _ view: TableView, _ report: inout Report
    ) throws {
        for group in 0..<segment.rowGroups {
            do {
                _ = try view.rowMap(segment, group: group)
            } catch let error as GradDBError where error.kind == .corrupt {
                report.problems.append(Problem(message: error.message, table: view.table.name))
            }
        }
    }

    /// Every row has a record whose id leads back to it, and a place in every column.
    private func checkRecords(_ view: TableView, _ report: inout Report) throws {
        func note(_ body: () throws -> Void) throws {
            do {
                try body()
            } catch let error as GradDBError where error.kind == .corrupt {
                report.problems.append(Problem(message: error.message, table: view.table.name))
            }
        }
        if isDeep {
            let deleted = try view.deletedRows
            for row in 0..<view.rowLimit where !deleted.contains(row) {
                try cancellation.check()
                try note {
                    let record = try view.record(row: row)
                    guard try view.row(of: record.id) == row else {
                        throw GradDBError.corrupt(
                            "the key of id \(record.id) does not lead to its row \(row)")
                    }
                }
            }
        }
        guard view.rowLimit > 0 else { return }
        try note {
            try ColumnReader(view).forEachRun(["id"] + view.table.fields.map(\.name)) { _, _ in }
        }
    }

    /// Lets RocksDB verify its own checksums over everything.
    private func checkFamilies(_ report: inout Report) throws {
        for family in ColumnFamily.allCases where family != .unused {
            do {
                try database.store.forEach(family, prefix: []) { _, _ in
                    !cancellation.isCancelled
                }
                try cancellation.check()
            } catch let error as GradDBError where error.kind == .corrupt {
                report.problems.append(
                    Problem(message: "\(family.rawValue): \(error.message)", table: ""))
            }
        }
    }
}
