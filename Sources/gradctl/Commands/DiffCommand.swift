// How two snapshots of a table differ.

import ArgumentParser
import GradDB

struct DiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Show what one snapshot has and another has not.",
        discussion: """
            Rows are compared by id; one that was deleted and came again is a changed one. Two snapshots \
            that hold the same are equal, whatever their segments. For how gradients changed between \
            checkpoints, see `gradctl drift`.

            Examples:
              gradctl diff alpaca 1 3
              gradctl diff alpaca before-cleaning after --ids --json
            """)

    @OptionGroup var globals: GlobalOptions

    @Argument(help: "The table's name.") var table: String
    @Argument(help: "A snapshot's number, a tag or a time; 0 is the empty table.") var from: String
    @Argument(help: "The snapshot it is compared with.") var to: String
    @Flag(help: "Print the id of each row that was added, removed or changed.") var ids = false

    func run() throws {
        let cancellation = Interruption.watch()
        let table = try globals.openDatabase().table(self.table)
        let diff = try SnapshotDiff(
            from: try table.view(named: from), to: try table.view(named: to),
            cancellation: cancellation)
        if ids {
            try diff.forEachRow { change, id in
                try Console.print(
                    globals.json
                        ? JSONObject([("change", .string(change.rawValue)), ("id", id.json)]).text
                        : "\(change.rawValue)  \(Console.printable("\(id)"))")
            }
        }
        if globals.json {
            try Console.print(diff.json.text)
        } else if !globals.quiet {
            try show(diff)
        }
    }

    private func show(_ diff: SnapshotDiff) throws {
        try Console.print(
            "\(diff.to.table.name): snapshot \(diff.from.snapshot) → \(diff.to.snapshot), "
                + (diff.isEqual ? "which hold the same" : "which differ"))
        var text = TextTable([
            .init(title: ""), .init(title: "added", alignment: .right),
            .init(title: "removed", alignment: .right), .init(title: "changed", alignment: .right),
        ])
        func line(_ what: String, _ change: SnapshotDiff.Change<Int>, _ changed: Int? = nil) {
            text.append([
                what, change.added.grouped, change.removed.grouped, changed?.grouped ?? "",
            ])
        }
        line("rows", diff.rows, diff.changedRows)
        line("vectors", diff.vectors)
        line("checkpoints", diff.checkpoints.counts, diff.changedCheckpoints.count)
        line("encodings", diff.encodings.counts)
        line("preconditioners", diff.preconditioners.counts)
        line("segments", diff.segments)
        text.append([
            "bytes", Units.bytes(diff.bytes.added), Units.bytes(diff.bytes.removed), "",
        ])
        try text.printed()
        func list(_ what: String, _ names: [String]) throws {
            guard !names.isEmpty else { return }
            try Console.print("\(what): " + Console.printable(names.joined(separator: ", ")))
        }
        try list("checkpoints added", diff.checkpoints.added)
        try list("checkpoints removed", diff.checkpoints.removed)
        try list("checkpoints changed", diff.changedCheckpoints)
        try list("encodings added", diff.encodings.added.map { "\($0.layer):\($0.codec)" })
        try list("encodings removed", diff.encodings.removed.map { "\($0.layer):\($0.codec)" })
        try list("preconditioners added", diff.preconditioners.added)
        try list("preconditioners removed", diff.preconditioners.removed)
    }
}

extension SnapshotDiff.Change where Value: Collection {
    fileprivate var counts: SnapshotDiff.Change<Int> {
        .init(added: added.count, removed: removed.count)
    }
}
