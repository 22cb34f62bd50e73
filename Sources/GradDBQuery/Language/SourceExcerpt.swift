// The line of an error with carets below it.
//
// 1. Take the line that holds the start of the range; of a very long line only the bytes near it.
// 2. Turn its scalars into cells: what to print, and how many terminal columns that takes. A tab
//    is one space; control and invisible characters become a replacement mark, so that a statement
//    can neither shift the carets nor send a terminal an escape sequence.
// 3. Grow a window of at most 80 columns from the first cell of the range, first to the left, then
//    to the right, then left again; mark a cut end with an ellipsis.

package struct SourceExcerpt: Sendable {
    package static let maximumColumns = 80

    /// The printed part of the line.
    package let line: String
    /// Spaces up to the range, then one caret for each of its columns on this line.
    package let carets: String

    private struct Cell {
        let text: String
        let columns: Int
        let offset: Int
    }

    package init(of range: SourceRange, in source: SourceText) {
        let line = source.lineBounds(around: range.start)
        let start = min(range.start, line.upperBound)
        let slice = Self.neighbourhood(of: start, in: line, source)
        let cells = Self.cells(of: slice, source)
        let caret = cells.firstIndex { $0.offset >= start } ?? cells.count
        let window = Self.window(around: caret, of: cells, isWhole: slice == line)

        let isCutLeft = window.lowerBound > 0 || slice.lowerBound > line.lowerBound
        let isCutRight = window.upperBound < cells.count || slice.upperBound < line.upperBound
        let shown = cells[window]
        self.line =
            (isCutLeft ? "…" : "") + shown.map(\.text).joined() + (isCutRight ? "…" : "")

        let indent = cells[window.lowerBound..<caret].reduce(isCutLeft ? 1 : 0) { $0 + $1.columns }
        let marked = shown.reduce(0) {
            $1.offset >= start && $1.offset < range.end ? $0 + $1.columns : $0
        }
        carets =
            String(repeating: " ", count: indent) + String(repeating: "^", count: max(1, marked))
    }

    /// `text` made safe to print: invisible characters marked.
    package static func printable(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { $0 += printable($1) }
    }

    /// `text` made safe to print inside a message: invisible characters marked, long text cut.
    package static func quotable(_ text: some StringProtocol, maximumScalars: Int = 40) -> String {
        var result = ""
        for (index, scalar) in text.unicodeScalars.enumerated() {
            if index == maximumScalars { return result + "…" }
            result += printable(scalar)
        }
        return result
    }

    private static func neighbourhood(
        of offset: Int, in line: Range<Int>, _ source: SourceText
    ) -> Range<Int> {
        let reach = 4 * maximumColumns  // a scalar takes at most four bytes
        var start = max(line.lowerBound, offset - reach)
        while start < offset, UTF8.isContinuation(source.bytes[start]) { start += 1 }
        var end = min(line.upperBound, offset + reach)
        while end < line.upperBound, UTF8.isContinuation(source.bytes[end]) { end += 1 }
        return start..<end
    }

    private static func cells(of slice: Range<Int>, _ source: SourceText) -> [Cell] {
        var offset = slice.lowerBound
        let text = source[SourceRange(slice.lowerBound, slice.upperBound)]
        return text.unicodeScalars.map { scalar in
            defer { offset += UTF8.width(scalar) }
            let shown = printable(scalar)
            return Cell(
                text: shown, columns: shown == "\u{FFFD}" ? 1 : columns(scalar), offset: offset)
        }
    }

    private static func window(
        around caret: Int, of cells: [Cell], isWhole: Bool
    ) -> Range<Int> {
        if isWhole, cells.reduce(0, { $0 + $1.columns }) <= maximumColumns {
            return 0..<cells.count
        }
        let limit = maximumColumns - 2  // the ellipses
        var left = caret
        var right = caret
        var total = 0
        func growLeft(to limit: Int) {
            while left > 0, total + cells[left - 1].columns <= limit {
                left -= 1
                total += cells[left].columns
            }
        }
        growLeft(to: limit / 2)
        while right < cells.count, total + cells[right].columns <= limit {
            total += cells[right].columns
            right += 1
        }
        growLeft(to: limit)
        return left..<right
    }

    private static func printable(_ scalar: Unicode.Scalar) -> String {
        if scalar.isASCII, scalar.value >= 0x20, scalar.value < 0x7F { return String(scalar) }
        if scalar == "\t" { return " " }
        switch scalar.properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
            return "\u{FFFD}"
        default:
            return String(scalar)
        }
    }

    /// Terminal columns of one scalar, after Unicode's East Asian Width (UAX #11), by block.
    package static func columns(_ scalar: Unicode.Scalar) -> Int {
        if scalar.isASCII { return 1 }
        switch scalar.properties.generalCategory {
        case .nonspacingMark, .enclosingMark: return 0
        default: break
        }
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
            0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x20000...0x3FFFD:
            return 2
        default:
            return scalar.properties.isEmojiPresentation ? 2 : 1
        }
    }
}
