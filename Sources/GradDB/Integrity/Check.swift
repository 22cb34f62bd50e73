// Reads a database and says what is broken: the structure, or every stored byte. Files first, then
// table by table what the catalog says should be there, then what is staged. What is wrong with a
// file is said once for each segment in it, not once for each block.

/// Verifies a database that is open for reading.
public struct Check {
    /// What was looked at, and what was found.
    public struct Report: Sendable {
        public var tables = 0
        public var segments = 0
        public var blocks = 0
        /// Bytes of blocks that were looked at.
        public var bytes: UInt64 = 0
        /// Staged ingests.
        public var staged = 0
        public var problems: [Finding] = []

        public var isOK: Bool { problems.isEmpty }
    }

    private let database: Database
    private let isDeep: Bool
    private let threads: Int
    private let cancellation: Cancellation

    /// - Parameters:
    ///   - database: one that was opened for inspecting has all findings; one that was opened
    ///     otherwise is known to have all its files.
    ///   - deep: verify every checksum of every block and record, RocksDB's too.
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
        let files = try FileCheck(
            database.store, isDeep: isDeep, threads: threads, cancellation: cancellation)
        report.problems += files.recordFindings
        do {
            try Database.checkFormat(database.catalog, path: database.path, writing: false)
            for (name, document) in try tables(&report) {
                report.tables += 1
                var check = TableCheck(
                    files: files, isDeep: isDeep, threads: threads, cancellation: cancellation)
                do {
                    let table = try Table(document, in: database.store)
                    try check.run(table, &report, progress)
                } catch let error as GradDBError where error.isDamage {
                    report.problems.append(Finding(.catalog, error.message, table: name))
                }
            }
        } catch let error as GradDBError where error.isDamage {
            report.problems.append(Finding(.catalog, error.message))
        }
        report.problems += files.findingsOfNobody
        if isDeep {
            var found = try RecordFamilies(database.store, cancellation).findings()
            files.nameFiles(in: &found)
            let known = Set(files.recordFindings.compactMap(\.file))
            report.problems += found.filter { $0.file.map { !known.contains($0) } ?? true }
        }
        let staged = StagedCheck(database, isDeep: isDeep, cancellation: cancellation)
        report.problems += try staged.run(&report.staged)
        files.nameFiles(in: &report.problems)
        return report
    }

    /// The tables that can be read; a document that cannot be is a finding.
    private func tables(_ report: inout Report) throws -> [(name: String, TableDocument)] {
        let prefix = Array(Catalog.Key.tables.utf8)
        var names: [String] = []
        do {
            try database.store.forEach(.catalog, prefix: prefix) { key, _ in
                names.append(String(decoding: key.dropFirst(prefix.count), as: UTF8.self))
                return true
            }
        } catch let error as GradDBError where error.isDamage {
            report.problems.append(Finding(.catalog, error.message))
        }
        return names.compactMap { name in
            do {
                return try database.catalog.document(
                    Catalog.Key.table(name), as: TableDocument.self
                ).map { (name, $0) }
            } catch {
                report.problems.append(Finding(.catalog, "\(error)", table: name))
                return nil
            }
        }
    }
}
