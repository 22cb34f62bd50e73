// A LIKE pattern, compiled to units of the UTF-8 text: a byte, `_` (one Unicode scalar) or `%` (any
// run of scalars, the empty one too).
//
// Matching walks text and pattern side by side. At a mismatch it goes back to the last `%` and lets
// that one take one scalar more; earlier ones need no second thought, because a match that lets
// them take more can be turned into one that does not. So the time is at most the product of the
// two lengths, whatever the pattern.

package struct LikePattern: Equatable, Sendable {
    private let units: [UInt16]

    private static let oneScalar: UInt16 = 256
    private static let anyRun: UInt16 = 257

    /// - Parameter escape: the scalar behind which `%`, `_` and itself stand for themselves.
    /// - Returns: nil when `escape` stands before anything else, or at the end.
    package init?(_ pattern: String, escape: Unicode.Scalar? = nil) {
        var units: [UInt16] = []
        var isEscaped = false
        for scalar in pattern.unicodeScalars {
            if isEscaped {
                guard scalar == "%" || scalar == "_" || scalar == escape else { return nil }
                isEscaped = false
            } else if scalar == escape {
                isEscaped = true
                continue
            } else if scalar == "_" {
                units.append(Self.oneScalar)
                continue
            } else if scalar == "%" {
                if units.last != Self.anyRun { units.append(Self.anyRun) }
                continue
            }
            units += UTF8.encode(scalar)?.map { UInt16($0) } ?? []
        }
        guard !isEscaped else { return nil }
        self.units = units
    }

    /// Whether the whole of `text` matches; upper and lower case are different.
    package func matches(_ text: String) -> Bool {
        StringOrder.withBytes(of: text) { text in
            units.withUnsafeBufferPointer { Self.matches(text, $0) }
        }
    }

    private static func matches(
        _ text: UnsafeBufferPointer<UInt8>, _ units: UnsafeBufferPointer<UInt16>
    ) -> Bool {
        var position = 0
        var unit = 0
        var retry: (position: Int, unit: Int)?
        while position < text.count {
            if unit < units.count, units[unit] == UInt16(text[position]) {
                position += 1
                unit += 1
            } else if unit < units.count, units[unit] == oneScalar {
                position += scalarLength(text[position])
                unit += 1
            } else if unit < units.count, units[unit] == anyRun {
                unit += 1
                retry = (position, unit)
            } else if let last = retry {
                position = last.position + scalarLength(text[last.position])
                unit = last.unit
                retry = (position, unit)
            } else {
                return false
            }
        }
        return unit == units.count || (unit == units.count - 1 && units[unit] == anyRun)
    }

    private static func scalarLength(_ first: UInt8) -> Int {
        first < 0xC0 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
    }
}
