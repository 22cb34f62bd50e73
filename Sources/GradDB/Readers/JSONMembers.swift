// Where the members of a JSON object begin and end. JSONDecoder reads the values; this finds what
// JSONDecoder does not tell: keys that occur twice, of which it silently takes the first, and how a
// number was written, since it takes 5.0 for an integer. It also lets a long document be decoded
// member by member in little memory.
//
// Strings and nesting are skipped over, not checked: what is inside a value is JSONDecoder's to
// judge. Nothing here recurses, so that no depth of nesting can exhaust the stack.

/// One `"key": value` of an object, as offsets into the document.
struct JSONMember: Equatable {
    /// With its quotes.
    var key: Range<Int>
    var value: Range<Int>
}

enum JSONMembers {
    /// Appends the members of the object that begins at `start`, after white space, and returns
    /// the offset behind its closing brace. Returns nil where the text is no object at that
    /// level, or has more than `limit` members.
    static func scan(
        _ text: Span<UInt8>, from start: Int = 0, limit: Int = .max,
        into members: inout [JSONMember]
    ) -> Int? {
        var at = skipSpace(text, start)
        guard take(text, &at, UInt8(ascii: "{")) else { return nil }
        at = skipSpace(text, at)
        if take(text, &at, UInt8(ascii: "}")) { return at }
        var count = 0
        while count < limit {
            let keyStart = at
            guard let keyEnd = skipString(text, at) else { return nil }
            at = skipSpace(text, keyEnd)
            guard take(text, &at, UInt8(ascii: ":")) else { return nil }
            at = skipSpace(text, at)
            guard let valueEnd = skipValue(text, at) else { return nil }
            members.append(JSONMember(key: keyStart..<keyEnd, value: at..<valueEnd))
            count += 1
            at = skipSpace(text, valueEnd)
            if take(text, &at, UInt8(ascii: "}")) { return at }
            guard take(text, &at, UInt8(ascii: ",")) else { return nil }
            at = skipSpace(text, at)
        }
        return nil
    }

    /// The first offset from `start` on that is not JSON white space.
    static func skipSpace(_ text: Span<UInt8>, _ start: Int) -> Int {
        var at = start
        while at < text.count, isSpace(text[at]) { at += 1 }
        return at
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    private static func take(_ text: Span<UInt8>, _ at: inout Int, _ byte: UInt8) -> Bool {
        guard at < text.count, text[at] == byte else { return false }
        at += 1
        return true
    }

    /// The offset behind the string that begins at `start`, nil where none does or it never ends.
    private static func skipString(_ text: Span<UInt8>, _ start: Int) -> Int? {
        guard start < text.count, text[start] == UInt8(ascii: "\"") else { return nil }
        var at = start + 1
        while at < text.count {
            let byte = text[at]
            if byte == UInt8(ascii: "\"") { return at + 1 }
            at += byte == UInt8(ascii: "\\") ? 2 : 1
        }
        return nil
    }

    private static func skipValue(_ text: Span<UInt8>, _ start: Int) -> Int? {
        guard start < text.count else { return nil }
        switch text[start] {
        case UInt8(ascii: "\""): return skipString(text, start)
        case UInt8(ascii: "{"), UInt8(ascii: "["): return skipNested(text, start)
        default:
            var at = start
            while at < text.count, !endsScalar(text[at]) { at += 1 }
            return at > start ? at : nil
        }
    }

    private static func endsScalar(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"): true
        default: isSpace(byte)
        }
    }

    private static func skipNested(_ text: Span<UInt8>, _ start: Int) -> Int? {
        var depth = 0
        var at = start
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "\""):
                guard let end = skipString(text, at) else { return nil }
                at = end
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 { return at + 1 }
            default: break
            }
            at += 1
        }
        return nil
    }
}
