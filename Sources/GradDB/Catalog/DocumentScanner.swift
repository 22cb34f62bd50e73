// Reads documents of which there may be tens of thousands: JSONDecoder takes tens of microseconds for
// each, and opening a table reads all of its segments and snapshots.
//
// Only what `DocumentJSON` itself writes is read here: no white space, no escapes, whole numbers, no
// unknown keys. Of anything else the scanner says nothing, and JSONDecoder decides.

/// A document that can be read without JSONDecoder.
protocol ScannedDocument {
    /// Nil where JSONDecoder should decide.
    init?(scanning scanner: inout DocumentScanner)
}

/// A cursor over the JSON of a document.
struct DocumentScanner {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    var isAtEnd: Bool { at == bytes.count }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    /// Calls `body` for each member of an object, with the scanner at its value, as long as it
    /// returns true.
    mutating func members(_ body: (inout DocumentScanner, _ key: String) -> Bool) -> Bool {
        guard take("{") else { return false }
        if take("}") { return true }
        repeat {
            guard let key = string(), take(":"), body(&self, key) else { return false }
        } while take(",")
        return take("}")
    }

    /// Calls `body` for each element of a list, with the scanner at it.
    mutating func elements(_ body: (inout DocumentScanner) -> Bool) -> Bool {
        guard take("[") else { return false }
        if take("]") { return true }
        repeat { guard body(&self) else { return false } } while take(",")
        return take("]")
    }

    mutating func string() -> String? {
        guard take("\"") else { return nil }
        let start = at
        while at < bytes.count, bytes[at] != UInt8(ascii: "\"") {
            guard bytes[at] >= 0x20, bytes[at] != UInt8(ascii: "\\") else { return nil }
            at += 1
        }
        let text = UnsafeRawBufferPointer(rebasing: bytes[start..<at])
        guard take("\"") else { return nil }
        return String(validating: text, as: UTF8.self)
    }

    /// A whole number without a sign.
    mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T? {
        let start = at
        var value: UInt64 = 0
        while at < bytes.count, (48...57).contains(bytes[at]), at - start < 19 {
            value = value * 10 + UInt64(bytes[at] - 48)
            at += 1
        }
        guard at > start, bytes[start] != 48 || at == start + 1, at < bytes.count,
            [UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]")].contains(bytes[at])
        else { return nil }
        return T(exactly: value)
    }

    /// Sets `target`, which is nil, to what comes next; false where it cannot be.
    mutating func set<T: FixedWidthInteger>(_ target: inout T?) -> Bool {
        guard target == nil else { return false }
        target = integer()
        return target != nil
    }

    mutating func set(_ target: inout String?) -> Bool {
        guard target == nil else { return false }
        target = string()
        return target != nil
    }

    mutating func set<T: ScannedDocument>(_ target: inout T?) -> Bool {
        guard target == nil else { return false }
        target = T(scanning: &self)
        return target != nil
    }

    mutating func set<T: ScannedDocument>(_ target: inout [T]?) -> Bool {
        guard target == nil else { return false }
        var values: [T] = []
        let isList = elements { scanner in
            guard let value = T(scanning: &scanner) else { return false }
            values.append(value)
            return true
        }
        target = values
        return isList
    }
}
