// A matrix of at most so many lines and columns: neighbours become one cell, which shows the score of
// the largest magnitude among them.

struct BinnedMatrix {
    let queries: [String]
    let columns: [String]
    /// By layer, line and column; nil where none of the cells has a score.
    let scores: [[[Double?]]]
    /// How many lines, or columns, became one.
    let lineBin: Int
    let columnBin: Int

    init(_ matrix: ScoreMatrix, lines: Int, columns: Int) {
        func bin(_ count: Int, _ most: Int) -> Int { max(0, count - 1) / max(1, most) + 1 }
        let (lineBin, columnBin) = (
            bin(matrix.queries.count, lines), bin(matrix.ids.count, columns)
        )
        self.lineBin = lineBin
        self.columnBin = columnBin
        func firsts<T>(_ all: [T], _ bin: Int) -> [T] {
            stride(from: 0, to: all.count, by: bin).map { all[$0] }
        }
        queries = firsts(matrix.queries, lineBin)
        self.columns = firsts(matrix.columnNames, columnBin)
        guard lineBin * columnBin > 1 else {
            scores = matrix.scores
            return
        }
        let (lineCount, columnCount) = (queries.count, self.columns.count)
        scores = matrix.scores.map { layer in
            var binned = [[Double?]](
                repeating: [Double?](repeating: nil, count: columnCount), count: lineCount)
            for (query, line) in layer.enumerated() {
                for (column, score) in line.enumerated() {
                    guard let score else { continue }
                    let (i, j) = (query / lineBin, column / columnBin)
                    if score.magnitude >= binned[i][j]?.magnitude ?? 0 { binned[i][j] = score }
                }
            }
            return binned
        }
    }

    /// What was put together; nil where nothing was.
    var note: String? {
        let parts = [
            lineBin > 1 ? "\(lineBin) queries" : nil, columnBin > 1 ? "\(columnBin) columns" : nil,
        ].compactMap { $0 }
        return parts.isEmpty
            ? nil : "each cell is the strongest score of \(parts.joined(separator: " by "))"
    }

    var lacksScores: Bool { scores.contains { $0.contains { $0.contains { $0 == nil } } } }
}

/// Names and numbers in little room.
enum Label {
    /// At most `limit` columns of a terminal; what is left out is in the middle.
    static func shortened(_ text: String, to limit: Int) -> String {
        guard TextTable.width(text) > limit else { return text }
        guard limit > 1 else { return limit == 1 ? "…" : "" }
        let tail = taken(text.reversed(), (limit - 1) / 3)
        let head = taken(
            Array(text), limit - 1 - tail.reduce(0) { $0 + TextTable.width(String($1)) })
        return String(head) + "…" + String(tail.reversed())
    }

    private static func taken(_ characters: [Character], _ limit: Int) -> [Character] {
        var used = 0
        return Array(
            characters.prefix { character in
                used += TextTable.width(String(character))
                return used <= limit
            })
    }

    /// Three significant digits.
    static func number(_ value: Double) -> String {
        guard value != 0 else { return "0" }
        var exponent = 0
        var scaled = value.magnitude
        while scaled >= 1000, exponent < 400 {
            scaled /= 10
            exponent += 1
        }
        while scaled < 100, exponent > -400 {
            scaled *= 10
            exponent -= 1
        }
        // Three digits, and how many of the number's stand before its point.
        let rounded = Int(scaled.rounded())
        let digits = String(rounded).prefix(3)
        let magnitude = exponent + (rounded > 999 ? 4 : 3)
        let sign = value < 0 ? "-" : ""
        switch magnitude {
        case 1...3:
            let fraction = trimmed(digits.dropFirst(magnitude))
            return sign + digits.prefix(magnitude) + (fraction.isEmpty ? "" : "." + fraction)
        case -3...0:
            return sign + "0." + String(repeating: "0", count: -magnitude) + trimmed(digits)
        default:
            let fraction = trimmed(digits.dropFirst())
            return sign + digits.prefix(1) + (fraction.isEmpty ? "" : "." + fraction)
                + "e\(magnitude - 1)"
        }
    }

    private static func trimmed(_ digits: Substring) -> Substring {
        digits.last == "0" ? trimmed(digits.dropLast()) : digits
    }
}
