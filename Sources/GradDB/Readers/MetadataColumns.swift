// Which members of a line's object are the row's id and its fields.

/// Finds the declared columns among the members of one line after another: column 0 is the id, the
/// fields follow in their order. It keeps what it needs from line to line so that a line allocates
/// as little as possible.
struct MetadataColumns {
    /// Names collected at most, so that a file with new keys on every line stays bounded.
    static let undeclaredLimit = 1_000
    private static let pairwiseLimit = 8

    let names: [String]
    /// The members of the line at hand.
    private(set) var members: [JSONMember] = []
    /// For each column the value's place in the line; nil where it is absent or null.
    private(set) var values: [Range<Int>?]
    private(set) var undeclared: Set<String> = []

    private let nameBytes: [[UInt8]]
    private var seen: [Bool]
    private var others: [Range<Int>] = []
    /// Bytes of undeclared names that were met already, to know them again without a String.
    private var knownOthers: [[UInt8]] = []

    init(fields: [Field]) {
        names = ["id"] + fields.map(\.name)
        nameBytes = names.map { Array($0.utf8) }
        values = Array(repeating: nil, count: names.count)
        seen = Array(repeating: false, count: names.count)
    }

    enum Finding: Equatable {
        case found
        /// The line is no JSON object, as far as one can tell without decoding its values.
        case malformed
        case repeated(key: String)
    }

    /// Takes apart one line. Afterwards `values` says where the columns' values are.
    mutating func find(in line: Span<UInt8>, json: JSONText) -> Finding {
        members.removeAll(keepingCapacity: true)
        others.removeAll(keepingCapacity: true)
        for column in names.indices {
            values[column] = nil
            seen[column] = false
        }
        let end = JSONMembers.scan(line, into: &members)
        guard let end, JSONMembers.skipSpace(line, end) == line.count else { return .malformed }
        let isPlain = members.allSatisfy { Self.isPlain(line.extracting($0.key)) }
        return isPlain ? matchBytes(line) : matchStrings(line, json)
    }

    /// The usual case: all keys are ASCII without escapes, and equal when their bytes are.
    private mutating func matchBytes(_ line: Span<UInt8>) -> Finding {
        for member in members {
            let key = member.key.lowerBound + 1..<member.key.upperBound - 1
            guard let column = nameBytes.firstIndex(where: { Self.equal(line, key, $0) }) else {
                others.append(key)
                continue
            }
            if seen[column] { return .repeated(key: names[column]) }
            take(member.value, as: column, line)
        }
        if let twice = repeatedOther(line) {
            return .repeated(key: Excerpt.raw(line, twice))
        }
        for key in others where undeclared.count < Self.undeclaredLimit {
            if knownOthers.contains(where: { Self.equal(line, key, $0) }) { continue }
            let bytes = line.extracting(key).withUnsafeBufferPointer { Array($0) }
            if knownOthers.count < Self.pairwiseLimit { knownOthers.append(bytes) }
            undeclared.insert(String(decoding: bytes, as: UTF8.self))
        }
        return .found
    }

    /// Keys with escapes or beyond ASCII: compared as strings, which is what JSONDecoder does.
    private mutating func matchStrings(_ line: Span<UInt8>, _ json: JSONText) -> Finding {
        var keys: Set<String> = []
        for member in members {
            guard let key = json.decode(String.self, line.extracting(member.key)) else {
                return .malformed
            }
            guard keys.insert(key).inserted else { return .repeated(key: key) }
            if let column = names.firstIndex(of: key) {
                take(member.value, as: column, line)
            } else if undeclared.count < Self.undeclaredLimit {
                undeclared.insert(key)
            }
        }
        return .found
    }

    private mutating func take(_ value: Range<Int>, as column: Int, _ line: Span<UInt8>) {
        seen[column] = true
        values[column] = Self.equal(line, value, Self.null) ? nil : value
    }

    /// A key that two of the undeclared members share.
    private func repeatedOther(_ line: Span<UInt8>) -> Range<Int>? {
        if others.count <= Self.pairwiseLimit {
            for (index, key) in others.enumerated() {
                for earlier in others[..<index]
                where earlier.count == key.count && Self.equal(line, key, line, earlier) {
                    return key
                }
            }
            return nil
        }
        var keys: Set<[UInt8]> = []
        for key in others {
            let bytes = line.extracting(key).withUnsafeBufferPointer { Array($0) }
            if !keys.insert(bytes).inserted { return key }
        }
        return nil
    }

    private static let null = Array("null".utf8)

    private static func isPlain(_ key: Span<UInt8>) -> Bool {
        for index in key.indices where key[index] >= 0x80 || key[index] == UInt8(ascii: "\\") {
            return false
        }
        return true
    }

    private static func equal(_ line: Span<UInt8>, _ range: Range<Int>, _ bytes: [UInt8]) -> Bool {
        range.count == bytes.count && equal(line, range, bytes.span, 0..<bytes.count)
    }

    private static func equal(
        _ left: Span<UInt8>, _ leftRange: Range<Int>, _ right: Span<UInt8>, _ rightRange: Range<Int>
    ) -> Bool {
        for (i, j) in zip(leftRange, rightRange) where left[i] != right[j] { return false }
        return true
    }
}
