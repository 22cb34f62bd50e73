// A matrix of scores in a terminal: cells are coloured spaces, or without colour characters that are
// the denser the larger the score.

#if canImport(Glibc)
    import Glibc
#endif

struct HeatMap {
    enum Palette { case none, indexed, full }

    private let matrix: ScoreMatrix
    private let binned: BinnedMatrix
    private let scale: DivergingScale
    private let palette: Palette
    private let labelWidth: Int
    private let cellWidth: Int
    private let width: Int

    /// From faint to dense.
    private static let above: [Character] = [" ", "░", "▒", "▓", "█"]
    private static let below: [Character] = [" ", ".", "-", "=", "#"]
    private static let missing: Character = "?"
    private static let widestCell = 12
    /// Room for a number.
    private static let numberWidth = 9
    private static let longestLabel = 28

    /// - Parameter width: of the terminal, in columns.
    init(_ matrix: ScoreMatrix, width: Int, palette: Palette) {
        let widest = matrix.queries.map { TextTable.width(Console.printable($0)) }.max() ?? 0
        let labelWidth = min(widest, Self.longestLabel, max(8, width / 3))
        let room = max(8, width - labelWidth - 2)
        self.width = width
        self.matrix = matrix
        self.palette = palette
        self.labelWidth = labelWidth
        binned = BinnedMatrix(matrix, lines: .max, columns: room)
        cellWidth = min(Self.widestCell, room / max(1, binned.columns.count))
        scale = DivergingScale(matrix)
    }

    /// What this terminal shows.
    static func palette(useColor: Bool) -> Palette {
        guard useColor else { return .none }
        let value = getenv("COLORTERM").map { String(cString: $0) } ?? ""
        return value == "truecolor" || value == "24bit" ? .full : .indexed
    }

    var lines: [String] {
        guard !matrix.ids.isEmpty else { return ["(no rows)"] }
        var lines: [String] = []
        for (number, layer) in binned.scores.enumerated() {
            if let layers = matrix.layers { lines.append(Console.printable(layers[number])) }
            lines.append(columnLabels)
            for (query, cells) in zip(binned.queries, layer) { lines.append(line(query, cells)) }
            if matrix.layers != nil { lines.append("") }
        }
        lines.append(legend)
        if let note = binned.note { lines += wrapped(note) }
        return lines
    }

    private func wrapped(_ text: String) -> [String] {
        text.split(separator: " ").reduce(into: [""]) { lines, word in
            let line = lines[lines.count - 1]
            if line.isEmpty {
                lines[lines.count - 1] = String(word)
            } else if line.count + 1 + word.count <= width {
                lines[lines.count - 1] += " " + word
            } else {
                lines.append(String(word))
            }
        }
    }

    private func padded(_ text: String, to width: Int) -> String {
        let text = Label.shortened(Console.printable(text), to: width)
        return text + String(repeating: " ", count: max(0, width - TextTable.width(text)))
    }

    /// Over each column, or where there is no room over the first and the last.
    private var columnLabels: String {
        let indent = String(repeating: " ", count: labelWidth + 2)
        let names = binned.columns
        if cellWidth >= 4 {
            let labels = names.map { padded($0, to: cellWidth - 1) }
            return trimmed(indent + labels.joined(separator: " "))
        }
        let room = names.count * cellWidth
        guard names.count > 1, room >= 9, let first = names.first, let last = names.last else {
            return trimmed(indent + padded(names.first ?? "", to: max(1, room)))
        }
        let left = Label.shortened(Console.printable(first), to: (room - 3) / 2)
        let right = Label.shortened(Console.printable(last), to: (room - 3) / 2)
        let gap = room - TextTable.width(left) - TextTable.width(right)
        return indent + left + " " + String(repeating: "·", count: gap - 2) + " " + right
    }

    private func trimmed(_ text: String) -> String {
        var text = text
        while text.last == " " { text.removeLast() }
        return text
    }

    private func line(_ query: String, _ cells: [Double?]) -> String {
        let label = padded(query, to: labelWidth) + "  "
        guard palette != .none else {
            return trimmed(label + cells.map(plainCell).joined())
        }
        return label + cells.map(colouredCell).joined() + "\u{1B}[0m"
    }

    private func plainCell(_ score: Double?) -> String {
        let character = Self.character(score.map(scale.position))
        guard cellWidth >= Self.numberWidth, let score else {
            let filled = score == nil ? 1 : max(1, cellWidth - 1)
            return String(repeating: character, count: filled)
                + String(repeating: " ", count: cellWidth - filled)
        }
        return "\(character) " + padded(Self.number(score, room: cellWidth - 3), to: cellWidth - 2)
    }

    /// Three significant digits, or where these have no room three behind the point.
    private static func number(_ score: Double, room: Int) -> String {
        let text = Label.number(score)
        guard text.count > room, score.magnitude < 1 else {
            return Label.shortened(text, to: room)
        }
        let thousandths = Int((score.magnitude * 1000).rounded())
        let digits = String(String(thousandths + 1000).dropFirst())
        return (score < 0 ? "-0." : "0.") + digits
    }

    private static func character(_ position: Double?) -> Character {
        guard let position else { return missing }
        let ramp = position < 0 ? below : above
        // Only what is nearly zero is blank.
        let level = (position.magnitude * Double(ramp.count - 1)).rounded(.up)
        return position.magnitude < 0.02 ? ramp[0] : ramp[Int(level)]
    }

    private func colouredCell(_ score: Double?) -> String {
        let colour = scale.colour(score)
        var text = String(repeating: " ", count: cellWidth)
        if cellWidth >= Self.numberWidth, let score {
            text = padded(" " + Self.number(score, room: cellWidth - 2), to: cellWidth)
        }
        return background(colour) + text
    }

    private func background(_ colour: Colour) -> String {
        let letters = colour.isLight ? 16 : 231
        switch palette {
        case .none: return ""
        case .full:
            let channels = "\(colour.red);\(colour.green);\(colour.blue)"
            return "\u{1B}[48;2;\(channels);38;5;\(letters)m"
        case .indexed: return "\u{1B}[48;5;\(Self.index(of: colour));38;5;\(letters)m"
        }
    }

    /// The nearest colour of the cube of 6 × 6 × 6 that terminals have from number 16 on.
    private static func index(of colour: Colour) -> Int {
        let levels = [0, 95, 135, 175, 215, 255]
        func nearest(_ value: UInt8) -> Int {
            levels.indices.min { abs(levels[$0] - Int(value)) < abs(levels[$1] - Int(value)) } ?? 0
        }
        return 16 + 36 * nearest(colour.red) + 6 * nearest(colour.green) + nearest(colour.blue)
    }

    private var legend: String {
        let steps = stride(from: -1, through: 1, by: 0.25).filter {
            $0 < 0 ? scale.least < 0 : $0 == 0 || scale.most > 0
        }
        let bar =
            palette == .none
            ? String(steps.map { Self.character($0) })
            : steps.map { background(DivergingScale.colour(at: $0)) + (width < 60 ? " " : "  ") }
                .joined() + "\u{1B}[0m"
        let missing =
            !binned.lacksScores
            ? ""
            : "   "
                + (palette == .none ? "\(Self.missing)" : background(.missing) + "  \u{1B}[0m")
                + " no score"
        return "\(Label.number(scale.least)) \(bar) \(Label.number(scale.most))" + missing
    }
}
