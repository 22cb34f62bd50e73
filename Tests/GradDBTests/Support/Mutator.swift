// Changes bytes the way that disks, editors and attackers do. Repeatable by its seed.

struct Mutator {
    var random: SeededRandom

    init(seed: UInt64) { random = SeededRandom(seed: seed) }

    mutating func below(_ limit: Int) -> Int { Int.random(in: 0..<limit, using: &random) }

    /// Bytes with a few changes, possibly of another length.
    mutating func bytes(_ sound: [UInt8]) -> [UInt8] {
        var bytes = sound
        for _ in 0..<1 + below(3) { change(&bytes) }
        return bytes
    }

    private mutating func change(_ bytes: inout [UInt8]) {
        let place = below(bytes.count + 1)
        let end = min(bytes.count, place + 1 + below(12))
        switch below(8) {
        case 0, 1: if place < bytes.count { bytes[place] ^= 1 << UInt8(below(8)) }
        case 2: if place < bytes.count { bytes[place] = UInt8(below(256)) }
        case 3:
            let byte = [0, 0x7F, 0x80, 0xFF][below(4)] as UInt8
            for index in place..<end { bytes[index] = byte }
        case 4: bytes.removeSubrange(place..<end)
        case 5: bytes.insert(contentsOf: bytes[place..<end], at: below(bytes.count + 1))
        case 6: bytes.removeLast(bytes.count - place)
        default: bytes.insert(contentsOf: (0..<below(9)).map { _ in UInt8(below(256)) }, at: place)
        }
    }

    private static let numbers = [
        "0", "-1", "1", "2", "255", "65536", "4294967295", "4294967296", "9223372036854775807",
        "9223372036854775808", "18446744073709551615", "18446744073709551616",
        "-9223372036854775808",
        "1e999", "-0", "0.5", "1e-999", "NaN", "1000000", "99999999999999999999999999",
    ]
    private static let values = [
        "null", "true", "[]", "{}", "\"\"", "\"0x\"", "[[0]]", "[[1,1]]", "[[2,1]]", "[[9]]",
        "\"ffffffffffffffff\"", "\"\\ud800\"", "\"\\u0000\"", "[[[[[[[[[[]]]]]]]]]]",
    ]

    /// JSON with numbers and values that it should not have; or changed byte by byte.
    mutating func json(_ sound: [UInt8]) -> [UInt8] {
        guard below(4) > 0 else { return bytes(sound) }
        var bytes = sound
        for _ in 0..<1 + below(2) {
            let digits = bytes.indices.filter { index in
                Self.isDigit(bytes[index]) && (index == 0 || !Self.isDigit(bytes[index - 1]))
            }
            let colons = bytes.indices.filter { bytes[$0] == UInt8(ascii: ":") }
            if below(2) == 0, let start = digits.randomElement(using: &random) {
                let end = bytes[start...].firstIndex { !Self.isDigit($0) } ?? bytes.endIndex
                bytes.replaceSubrange(
                    start..<end, with: Self.numbers[below(Self.numbers.count)].utf8)
            } else if let colon = colons.randomElement(using: &random) {
                // Up to the end of what is there, roughly.
                let end =
                    bytes[(colon + 1)...].firstIndex { [44, 93, 125].contains($0) }
                    ?? bytes.endIndex
                let all = Self.values + Self.numbers
                bytes.replaceSubrange(colon + 1..<end, with: all[below(all.count)].utf8)
            }
        }
        return bytes
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
}
