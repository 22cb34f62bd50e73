// The few Python literals that an .npy header is made of, read from left to right.

struct NpyLiteral {
    private let text: [UInt8]
    private var offset = 0

    init(_ text: [UInt8]) {
        self.text = text
    }

    /// Whether the next token is `symbol`, which is left in place.
    mutating func at(_ symbol: Unicode.Scalar) -> Bool {
        skipSpace()
        return offset < text.count && text[offset] == UInt8(ascii: symbol)
    }

    mutating func take(_ symbol: Unicode.Scalar) -> Bool {
        guard at(symbol) else { return false }
        offset += 1
        return true
    }

    mutating func expect(_ symbol: Unicode.Scalar) throws(FormatProblem) {
        guard take(symbol) else { throw problem("'\(symbol)'") }
    }

    mutating func expectEnd() throws(FormatProblem) {
        skipSpace()
        guard offset == text.count else { throw problem("nothing more") }
    }

    /// A string in either kind of quotes, without escapes.
    mutating func string() throws(FormatProblem) -> String {
        let quote: UInt8 = at("\"") ? UInt8(ascii: "\"") : UInt8(ascii: "'")
        guard offset < text.count, text[offset] == quote else { throw problem("a string") }
        let start = offset + 1
        guard let end = text[start...].firstIndex(of: quote),
            !text[start..<end].contains(UInt8(ascii: "\\"))
        else { throw problem("a string without escapes") }
        offset = end + 1
        return String(decoding: text[start..<end], as: UTF8.self)
    }

    mutating func bool() throws(FormatProblem) -> Bool {
        if takeWord("True") { return true }
        if takeWord("False") { return false }
        throw problem("True or False")
    }

    /// A tuple of non-negative integers. `(5)` is none, it would be `(5,)`.
    mutating func tuple(limit: Int) throws(FormatProblem) -> [Int] {
        try expect("(")
        var values: [Int] = []
        while !take(")") {
            guard values.count < limit else {
                throw FormatProblem("the array has more than \(limit) dimensions; reshape it")
            }
            values.append(try integer())
            if !take(",") {
                guard values.count != 1 else { throw problem("','") }
                try expect(")")
                break
            }
        }
        return values
    }

    private mutating func integer() throws(FormatProblem) -> Int {
        skipSpace()
        let digits = text[offset...].prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard let first = digits.first, first != UInt8(ascii: "0") || digits.count == 1 else {
            throw problem("a non-negative integer")
        }
        guard let value = Int(String(decoding: digits, as: UTF8.self)) else {
            throw FormatProblem("the header has a size that is too large: \(Excerpt.raw(digits))")
        }
        offset = digits.endIndex
        return value
    }

    private mutating func takeWord(_ word: String) -> Bool {
        skipSpace()
        guard text[offset...].starts(with: word.utf8) else { return false }
        offset += word.utf8.count
        return true
    }

    private mutating func skipSpace() {
        while offset < text.count {
            switch text[offset] {
            case 0x20, 0x09, 0x0A, 0x0D: offset += 1
            default: return
            }
        }
    }

    private func problem(_ expected: String) -> FormatProblem {
        let rest = Excerpt.raw(text[offset...].prefix(20))
        let found = rest.isEmpty ? "its end" : "`\(rest)`"
        return FormatProblem(
            "the header is malformed at its byte \(offset): expected \(expected), found \(found); "
                + "the file is damaged")
    }
}
