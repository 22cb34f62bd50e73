// What drift says, for people: tables that fit 80 columns, and a histogram of blocks.

import GradDB
import GradDBQuery

struct DriftText {
    let from: String
    let to: String

    private static let barWidth = 48

    func print(_ report: DriftReport, table: String) throws {
        try Console.print(
            "\(table), snapshot \(report.snapshot): \(name(from)) → \(name(to))")
        var counts = "\(report.rows.grouped) rows at both"
        if report.fromOnly > 0 { counts += ", \(report.fromOnly.grouped) only at \(name(from))" }
        if report.toOnly > 0 { counts += ", \(report.toOnly.grouped) only at \(name(to))" }
        let zeroRows = report.together.zeroRows
        if zeroRows > 0 { counts += ", \(zeroRows.grouped) zero at one and left out" }
        try Console.print(counts)
        guard report.together.cosine.count > 0 else { return }
        try Console.print("")
        var lines = TextTable([
            .init(title: "layer"), .init(title: "cosine", alignment: .right),
            .init(title: "5%", alignment: .right), .init(title: "25%", alignment: .right),
            .init(title: "50%", alignment: .right), .init(title: "75%", alignment: .right),
            .init(title: "95%", alignment: .right), .init(title: "ratio", alignment: .right),
        ])
        if report.layers.count > 1 { lines.append(cells("all", report.together)) }
        for layer in report.layers { lines.append(cells(layer.name, layer.spread)) }
        try show(lines)
        try Console.print("")
        try print(report.together.histogram)
    }

    /// Mean and quantiles of the cosine, and the median of the ratio.
    private func cells(_ name: String, _ spread: DriftSpread) -> [String] {
        func cosine(_ value: Double?) -> String { value.map(Units.cosine) ?? "" }
        return [name, cosine(spread.cosine.mean)]
            + [0.05, 0.25, 0.5, 0.75, 0.95].map { cosine(spread.cosine.quantile($0)) }
            + [spread.ratio.quantile(0.5).map(Self.short) ?? ""]
    }

    private func print(_ histogram: CosineHistogram) throws {
        let most = histogram.counts.max() ?? 0
        guard let first = histogram.counts.firstIndex(where: { $0 > 0 }),
            let last = histogram.counts.lastIndex(where: { $0 > 0 })
        else { return }
        try Console.print("     cosine  rows")
        let width = most.grouped.count
        for bin in first...last {
            let count = histogram.counts[bin]
            let edges = CosineHistogram.edges[bin...bin + 1].map(Self.edge)
            let digits = count.grouped
            let padding = String(repeating: " ", count: width - digits.count)
            let bar = Self.bar(count, of: most)
            try Console.print(
                "\(edges[0])…\(edges[1])  \(padding)\(digits)" + (bar.isEmpty ? "" : "  \(bar)"))
        }
        try Console.print("")
    }

    private static func edge(_ value: Double) -> String { (value < 0 ? "" : " ") + "\(value)" }

    /// In eighths of a character; what there is shows.
    private static func bar(_ count: Int, of most: Int) -> String {
        guard count > 0 else { return "" }
        let eighths = max(
            1, Int((Double(count) / Double(most) * Double(8 * barWidth)).rounded()))
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    }

    /// Those that turned most.
    func print(_ rows: [(id: RowID, row: DriftRow)]) throws {
        guard !rows.isEmpty else { return }
        var lines = TextTable([
            .init(title: "turned most"), .init(title: "cosine", alignment: .right),
            .init(title: "ratio", alignment: .right),
            .init(title: "norm before", alignment: .right),
            .init(title: "norm after", alignment: .right),
        ])
        for (id, row) in rows {
            lines.append([
                "\(id)", row.cosine.map(Units.cosine) ?? "", row.ratio.map(Self.short) ?? "",
                row.fromNorm.map(Self.short) ?? "", row.toNorm.map(Self.short) ?? "",
            ])
        }
        try show(lines)
        try Console.print("")
    }

    func print(_ answers: QueryDrift, top: Int) throws {
        let correlation =
            answers.rankCorrelation.map { "; correlation of ranks \(Units.cosine($0))" } ?? ""
        try Console.print(name(answers.name))
        try Console.print(
            "first \(top.grouped): \(answers.count(.stayed).grouped) stayed, "
                + "\(answers.count(.entered).grouped) entered, "
                + "\(answers.count(.left).grouped) left\(correlation)")
        guard !answers.rows.isEmpty else { return }
        var lines = TextTable([
            .init(title: "id"), .init(title: "change"),
            .init(title: "rank before", alignment: .right),
            .init(title: "after", alignment: .right),
            .init(title: "score before", alignment: .right),
            .init(title: "after", alignment: .right),
        ])
        for row in answers.rows {
            lines.append([
                "\(row.id)", row.change.rawValue, row.from?.rank.grouped ?? "–",
                row.to?.rank.grouped ?? "–", row.from.map { Self.short($0.score) } ?? "–",
                row.to.map { Self.short($0.score) } ?? "–",
            ])
        }
        try show(lines)
        try Console.print("")
    }

    private func name(_ text: String) -> String { Console.printable(text) }

    private func show(_ lines: TextTable) throws {
        for line in lines.lines(width: Console.width(of: 1) ?? 80, bold: false) {
            try Console.print(line)
        }
    }

    /// About four digits that matter.
    private static func short(_ value: Double) -> String {
        let size = abs(value)
        guard size >= 1e-4, size < 1e6 else {
            guard value != 0, value.isFinite else { return "\(value)" }
            var exponent = 0
            var digits = value
            while abs(digits) >= 10 {
                digits /= 10
                exponent += 1
            }
            while abs(digits) < 1 {
                digits *= 10
                exponent -= 1
            }
            return "\((digits * 1000).rounded() / 1000)e\(exponent)"
        }
        let unit = size < 0.1 ? 1e6 : size < 100 ? 1e4 : 1e2
        return "\((value * unit).rounded() / unit)"
    }
}
