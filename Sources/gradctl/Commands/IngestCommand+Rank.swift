// One rank of a staged ingest from files: `ingest --rank`.

import ArgumentParser
import GradDB

/// `R/N`: which of how many processes.
struct RankOption: ExpressibleByArgument {
    let rank: Int
    let ranks: Int

    init?(argument: String) {
        let parts = argument.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let rank = Int(parts[0]), let ranks = Int(parts[1]) else {
            return nil
        }
        self.rank = rank
        self.ranks = ranks
    }
}

extension IngestCommand {
    func writeRank(_ option: RankOption) throws {
        let started = ContinuousClock.now
        let cancellation = Interruption.watch()
        var options = StagedOptions(checkpoint: checkpoint)
        options.step = step
        options.weight = weight
        options.rank = option.rank
        options.ranks = option.ranks
        options.resume = resume
        options.threads = globals.threadCount
        let writer = try StagedWriter(
            database: try globals.databasePath(), table: table, options: options,
            cancellation: cancellation)
        let layers = writer.table.layers
        let metadata = try MetadataReader(path: metadata ?? "", fields: writer.table.fields)
        let inputs = try InputSet(
            paths: inputs, npyTensor: layers.count == 1 ? layers[0].name : nil,
            spoolDirectory: writer.spoolDirectory,
            raw: raw ? try RawInputs(writer.table, cancellation: cancellation) : nil)
        let bar = ProgressBar(total: inputs.totalBytes.map(UInt64.init), isShown: !globals.quiet)
        var inputBytes: UInt64 = 0
        let outcome = Result {
            try writer.append(inputs, metadata: metadata, cancellation: cancellation) {
                inputBytes = $0.inputBytes
                bar.update(rows: $0.rows, bytes: $0.inputBytes)
            }
        }
        bar.finish()
        let unused: Set<String>
        do {
            unused = try outcome.get()
        } catch {
            // What is whole shall not have to come again.
            try? writer.flush()
            writer.abandon()
            guard cancellation.isCancelled else { throw error }
            throw GradDBError(
                .interrupted,
                "interrupted; full row groups stay staged: run the command again with --resume")
        }
        let summary = try writer.close()
        noteUnused(metadata, tensors: unused.sorted(), notes: writer.notes)
        try report(
            summary, option, inputBytes: inputBytes,
            seconds: (ContinuousClock.now - started).seconds)
    }

    private func report(
        _ summary: StagedSummary, _ option: RankOption, inputBytes: UInt64, seconds: Double
    ) throws {
        if globals.json {
            try Console.print(
                JSONObject([
                    ("table", .string(table)), ("checkpoint", .string(checkpoint)),
                    ("rank", .int(Int64(option.rank))), ("ranks", .int(Int64(option.ranks))),
                    ("rows", .int(Int64(summary.newRows))),
                    ("skipped", .int(Int64(summary.skipped))),
                    ("rank_rows", .int(Int64(summary.rows))),
                    ("bytes", .int(Int64(summary.bytes))),
                    ("input_bytes", .int(Int64(inputBytes))), ("seconds", .float(seconds)),
                ]).text)
        } else if !globals.quiet {
            var text =
                "rank \(option.rank) of \(option.ranks) is closed: \(summary.rows.grouped) rows"
            if summary.skipped > 0 { text += ", \(summary.skipped.grouped) left out" }
            try Console.print(
                text + ", \(Units.bytes(summary.bytes)) staged, in \(Units.seconds(seconds))")
            try Console.print(
                "when all ranks are closed: gradctl commit \(table) --checkpoint \(checkpoint)")
        }
    }
}
