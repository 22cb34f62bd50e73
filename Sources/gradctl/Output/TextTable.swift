// Aligned columns for people. On a terminal no line is wider than it: the widest columns give way.

import GradDBQuery

struct TextTable {
    enum Alignment { case left, right }

    struct Column {
        var title: String
        var alignment = Alignment.left
    }

    private let columns: [Column]
    private var rows: [[String]] = []
    private static let gap = "  "
    private static let narrowest = 6

    init(_ columns: [Column]) {
        self.columns = columns.map { column in
            Column(title: Console.printable(column.title), alignment: column.alignment)
        }
    }

    mutating func append(_ cells: [String]) { rows.append(cells.map { Console.printable($0) }) }

    mutating func removeRows() { rows = [] }

    /// Lines without line ends. `width` nil means as wide as it takes; `bold` marks the header.
    func lines(width: Int?, bold: Bool) -> [String] {
        lines(widths(limit: width), bold: bold)
    }

    func lines(_ widths: [Int], bold: Bool) -> [String] {
        let header = line(printable: columns.map(\.title), widths)
        return [bold ? "\u{1B}[1m\(header)\u{1B}[0m" : header]
            + rows.map { line(printable: $0, widths) }
    }

    /// One line more, in columns of these widths.
    func line(_ cells: [String], _ widths: [Int]) -> String {
        line(printable: cells.map { Console.printable($0) }, widths)
    }

    /// What the columns take of so wide a terminal.
    func widths(limit: Int?) -> [Int] {
        var widths = columns.indices.map { index in
            rows.reduce(Self.width(columns[index].title)) { max($0, Self.width($1[index])) }
        }
        guard let limit else { return widths }
        let gaps = Self.gap.count * (columns.count - 1)
        while widths.reduce(gaps, +) > limit {
            let excess = widths.reduce(gaps, +) - limit
            // Numbers, on the right, stay whole: a number without its end is another number.
            let texts = widths.indices.filter { columns[$0].alignment == .left }
            guard let widest = texts.max(by: { widths[$0] < widths[$1] }),
                widths[widest] > Self.narrowest
            else { break }
            // Down to the second widest at most, so that equally wide columns shrink together.
            let second = texts.filter { $0 != widest }.map { widths[$0] }.max() ?? 0
            let target = max(
                Self.narrowest, min(widths[widest] - 1, second), widths[widest] - excess)
            widths[widest] = target
        }
        return widths
    }

    private func line(printable cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (index, cell) in cells.enumerated() {
            let text = Self.cut(cell, to: widths[index])
            let padding = String(repeating: " ", count: max(0, widths[index] - Self.width(text)))
            if index > 0 { line += Self.gap }
            line += columns[index].alignment == .right ? padding + text : text + padding
        }
        while line.last == " " { line.removeLast() }
        return line
    }

    private static func cut(_ text: String, to limit: Int) -> String {
        guard width(text) > limit else { return text }
        var result = ""
        var used = 0
        for character in text {
            let width = Self.width(String(character))
            guard used + width <= limit - 1 else { break }
            result.append(character)
            used += width
        }
        return result + "…"
    }

    /// Columns on a terminal: wide characters take two, combining ones none.
    static func width(_ text: String) -> Int {
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) { return text.utf8.count }
        return text.reduce(0) { sum, character in
            sum + (character.unicodeScalars.map(SourceExcerpt.columns).max() ?? 0)
        }
    }
}
