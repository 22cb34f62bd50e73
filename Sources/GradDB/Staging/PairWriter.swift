// Writes row groups of a rank into pairs of files, on a thread of its own, so that the next group is
// encoded while this one goes to the disk. A pair is finished, synced and entered in the journal
// when it is large or old enough, or when that is asked for.

import Synchronization

#if canImport(Glibc)
    import Glibc
#endif

final class PairWriter {
    private let output: Output
    private var writing: BackgroundTask?
    /// What is being written.
    private var group: OpenRowGroup?

    init(_ rank: RankDirectory, journal: JournalFile, kernels: KernelSet) {
        output = Output(rank: rank, journal: journal, kernels: kernels)
    }

    /// Hands over a sealed group; groups come in order. Waits for the one before it, which it
    /// returns: its buffer is free again.
    func append(_ group: OpenRowGroup) throws -> OpenRowGroup? {
        try wait()
        let before = self.group
        self.group = group
        writing = BackgroundTask { [output] in try output.put(group) }
        return before
    }

    /// Finishes a pair whose first row group has waited long enough, without waiting for the disk.
    func finishIfDue() throws {
        guard let begun = output.begun.value, ContinuousClock.now - begun > Output.patience else {
            return
        }
        try wait()
        writing = BackgroundTask { [output] in try output.finish() }
    }

    /// Makes all that was handed over durable.
    func finish() throws {
        try wait()
        try output.finish()
    }

    /// Stops, and removes what is not in the journal.
    func discard() {
        try? wait()
        output.discard()
    }

    private func wait() throws {
        guard let task = writing else { return }
        writing = nil
        try task.wait()
    }
}

/// The pair being written; touched by the background task only while one runs.
private final class Output: @unchecked Sendable {
    static let patience = Duration.seconds(10)
    private static let fileBytes: UInt64 = 64 << 20
    /// Records are held in memory until their pair is finished.
    private static let recordBytes = 32 << 20

    private let rank: RankDirectory
    private let journal: JournalFile
    private let kernels: KernelSet
    private var sst: SSTWriter?
    private var records: [UInt8] = []
    private var rows = 0
    private var groups = 0
    private var encodings: [UInt32: UInt64] = [:]
    private var sums: [UInt32: UInt64] = [:]
    private var projectors: [String: ProjectorDocument] = [:]
    /// When its first row group came; nil while there is none.
    let begun = Begun()

    /// Also looked at while the background task runs.
    final class Begun: Sendable {
        private let time = Mutex<ContinuousClock.Instant?>(nil)
        var value: ContinuousClock.Instant? { time.withLock { $0 } }
        func set(_ value: ContinuousClock.Instant?) { time.withLock { $0 = value } }
    }

    init(rank: RankDirectory, journal: JournalFile, kernels: KernelSet) {
        self.rank = rank
        self.journal = journal
        self.kernels = kernels
    }

    private var file: Int { journal.pairs.count }

    func put(_ group: OpenRowGroup) throws {
        let sst = try self.sst ?? SSTWriter(path: rank.sstPath(file))
        if self.sst == nil { begun.set(.now) }
        self.sst = sst
        for slot in group.blocks.slots {
            try sst.put(slot.key.bytes, UnsafeRawBufferPointer(group.blocks.block(slot)))
        }
        records += group.records
        rows += group.rows
        groups += 1
        encodings.merge(group.blocks.bytesOfEncodings, uniquingKeysWith: +)
        sums.merge(group.sums, uniquingKeysWith: &+)
        projectors.merge(group.projectors) { $1 }
        if sst.fileBytes >= Self.fileBytes || records.count >= Self.recordBytes { try finish() }
    }

    func finish() throws {
        guard let sst else { return }
        try sst.finish()
        try DurableFiles.write(try Zstd.compress(records), to: rank.recordsPath(file))
        guard let blocks = try StagedHash.of(file: sst.path, kernels) else {
            throw StagedHash.missing(sst.path)
        }
        guard let rowsFile = try StagedHash.of(file: rank.recordsPath(file), kernels) else {
            throw StagedHash.missing(rank.recordsPath(file))
        }
        try DurableFiles.syncDirectory(rank.path)
        let pair = StagedPair(
            ingest: rank.identity, rank: rank.rank, file: file, groups: groups, rows: rows,
            sstBytes: blocks.bytes, sstXxh3: StagedHash.text(blocks.hash),
            rowsBytes: rowsFile.bytes, rowsXxh3: StagedHash.text(rowsFile.hash),
            encodings: Dictionary(
                uniqueKeysWithValues: encodings.map { (String($0.key), $0.value) }),
            sums: Dictionary(
                uniqueKeysWithValues: sums.map { (String($0.key), Catalog.Key.hex($0.value)) }),
            projectors: projectors.isEmpty ? nil : projectors)
        // If the line cannot be synced, nobody knows whether it is there: the files must stay.
        forget()
        try journal.append(pair)
    }

    func discard() {
        guard sst != nil else { return }
        let file = self.file
        forget()
        unlink(rank.sstPath(file))
        unlink(rank.recordsPath(file))
    }

    private func forget() {
        sst = nil
        records.removeAll(keepingCapacity: true)
        rows = 0
        groups = 0
        encodings = [:]
        sums = [:]
        projectors = [:]
        begun.set(nil)
    }
}
