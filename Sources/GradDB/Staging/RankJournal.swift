// A rank's journal: one line for each finished pair of files, and one that closes the rank. A line
// counts only if it is there whole, which its hash shows; what it speaks of was synced before it.
//
//   {"file":0,…} 9f3c…\n

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

#if canImport(Glibc)
    import Glibc
#endif

/// A finished pair of files: blocks of row groups, and the records of the same rows.
package struct StagedPair: Codable, Equatable, Sendable {
    /// `identity` of the staged ingest, so that files of another one are not taken for its own.
    var ingest: String
    var rank: Int
    var file: Int
    var groups: Int
    var rows: Int
    var sstBytes: UInt64
    var sstXxh3: String
    var rowsBytes: UInt64
    var rowsXxh3: String
    /// Bytes of blocks, by encoding number.
    var encodings: [String: UInt64]
    /// Of the vectors' content (format-spec/versions.md), by encoding number.
    var sums: [String: String]
    /// What made the rows' vectors, by layer, where the writer was told.
    var projectors: [String: ProjectorDocument]?

    private enum CodingKeys: String, CodingKey {
        case ingest, rank, file, groups, rows, encodings, sums, projectors
        case sstBytes = "sst_bytes"
        case sstXxh3 = "sst_xxh3"
        case rowsBytes = "rows_bytes"
        case rowsXxh3 = "rows_xxh3"
    }
}

/// The line that says that the rank has all its rows.
private struct ClosingLine: Codable {
    var ingest: String
    var rank: Int
    var closed = true
    var files: Int
    var rows: Int
}

/// What a journal says, read without changing it.
package struct RankJournal: Sendable {
    private(set) var pairs: [StagedPair] = []
    /// Whether the last line closes the rank.
    private(set) var isClosed = false
    /// Where the lines that count end.
    private(set) var byteCount = 0

    /// Of all pairs.
    private(set) var rows = 0
    private(set) var groups = 0
    var bytes: UInt64 { pairs.reduce(0) { $0 &+ $1.sstBytes &+ $1.rowsBytes } }

    /// Reads a rank's journal; one that was never begun is empty.
    ///
    /// - Throws: `.corrupt` for a line that does not check out before one that does: only the last
    ///   can have been cut off. Also for lines of another rank or another staged ingest.
    init(of rank: RankDirectory, kernels: KernelSet) throws {
        let path = rank.journalPath
        let bytes = try DurableFiles.read(path) ?? []
        var lines = bytes.split(separator: 10, omittingEmptySubsequences: false)
        // Behind the last newline is nothing, or a line that was cut off.
        lines.removeLast()
        let texts = lines.map { Self.text(ofLine: $0, kernels) }
        let count = texts.firstIndex { $0 == nil } ?? texts.count
        guard texts[count...].allSatisfy({ $0 == nil }) else {
            throw GradDBError.corrupt(
                "\(path): line \(count + 1) is not what was written; restore the file, or abandon "
                    + "the staged ingest")
        }
        for (index, text) in texts[..<count].enumerated() {
            try take(text ?? [], of: rank, place: "\(path), line \(index + 1)")
            byteCount += lines[index].count + 1
        }
    }

    /// The JSON of a line that is there whole.
    private static func text(ofLine line: ArraySlice<UInt8>, _ kernels: KernelSet) -> [UInt8]? {
        guard line.count > 17 else { return nil }
        let text = line.dropLast(17)
        guard line.suffix(17).elementsEqual(" \(kernels.hexHash(text))".utf8) else { return nil }
        return Array(text)
    }

    private mutating func take(_ text: [UInt8], of rank: RankDirectory, place: String) throws {
        func refuse(_ what: String) -> GradDBError { .corrupt("\(place): \(what)") }
        let decoder = JSONDecoder()
        if let end = try? decoder.decode(ClosingLine.self, from: Data(text)) {
            guard end.ingest == rank.identity, end.rank == rank.rank else {
                throw refuse("belongs to another rank, or to another staged ingest")
            }
            guard end.files == pairs.count, end.rows == rows else {
                throw refuse("closes the rank with other files than the lines before it name")
            }
            isClosed = true
            return
        }
        guard let pair = try? decoder.decode(StagedPair.self, from: Data(text)) else {
            throw refuse("is neither of a pair of files nor of the rank's end")
        }
        guard pair.ingest == rank.identity, pair.rank == rank.rank else {
            throw refuse("belongs to another rank, or to another staged ingest")
        }
        let most = pair.groups.multipliedReportingOverflow(by: rank.rowsPerGroup)
        guard pair.file == pairs.count, pair.groups > 0, !most.overflow,
            pair.rows > 0, pair.rows <= Int(UInt32.max) - rows,
            (most.partialValue - rank.rowsPerGroup + 1...most.partialValue).contains(pair.rows),
            isWhole(rank), pair.sums.values.allSatisfy({ UInt64($0, radix: 16) != nil })
        else { throw refuse("does not follow the line before it") }
        pairs.append(pair)
        rows += pair.rows
        groups += pair.groups
        isClosed = false
    }

    /// Whether all row groups are full: only then can others follow.
    func isWhole(_ rank: RankDirectory) -> Bool { rows == groups * rank.rowsPerGroup }
}

/// A journal open for appending.
final class JournalFile {
    private let rank: RankDirectory
    private let kernels: KernelSet
    private let descriptor: Int32
    /// As the file has it.
    private(set) var pairs: [StagedPair]
    private(set) var isClosed: Bool

    /// Cuts away what was cut off already. The lines that count are written anew: if a sync of the
    /// file has failed, nobody knows which of them the disk has, whatever can be read.
    init(_ rank: RankDirectory, kernels: KernelSet) throws {
        let path = rank.journalPath
        let journal = try RankJournal(of: rank, kernels: kernels)
        self.rank = rank
        self.kernels = kernels
        pairs = journal.pairs
        isClosed = journal.isClosed
        let lines = try DurableFiles.read(path) ?? []
        try DurableFiles.write(Array(lines.prefix(journal.byteCount)), to: path + ".new")
        guard rename(path + ".new", path) == 0 else { throw DurableFiles.failure("write", path) }
        try DurableFiles.syncDirectory(rank.path)
        descriptor = open(path, O_WRONLY | O_APPEND | O_CLOEXEC)
        guard descriptor >= 0 else { throw DurableFiles.failure("open", path) }
    }

    deinit { if descriptor >= 0 { Glibc.close(descriptor) } }

    func append(_ pair: StagedPair) throws {
        try append(line: pair)
        pairs.append(pair)
        isClosed = false
    }

    func close() throws {
        guard !isClosed else { return }
        try append(
            line: ClosingLine(
                ingest: rank.identity, rank: rank.rank, files: pairs.count,
                rows: pairs.reduce(0) { $0 + $1.rows }))
        isClosed = true
    }

    private func append(line: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = [UInt8](try encoder.encode(line))
        try DurableFiles.append(
            text + Array(" \(kernels.hexHash(text))\n".utf8), to: descriptor,
            path: rank.journalPath)
    }
}
