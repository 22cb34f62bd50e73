// The functions of one string. A column has them worked out once for each entry of its dictionary.

enum StringFunctions {
    /// In Unicode scalars.
    static func length(_ text: String) -> Int64 { Int64(text.unicodeScalars.count) }

    /// Unicode's full case mapping, scalar by scalar: by no language's rules.
    static func lower(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { $0 += $1.properties.lowercaseMapping }
    }

    static func upper(_ text: String) -> String {
        text.unicodeScalars.reduce(into: "") { $0 += $1.properties.uppercaseMapping }
    }

    /// Without the White_Space at both ends.
    static func trim(_ text: String) -> String {
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !$0.properties.isWhitespace }),
            let last = scalars.lastIndex(where: { !$0.properties.isWhitespace })
        else { return "" }
        return String(scalars[first...last])
    }

    /// The scalars at the places `first` to `first + count - 1` that there are; the first place is
    /// 1. Without a count, all from there on; of a negative one nil.
    static func substr(_ text: String, _ first: Int64, _ count: Int64?) -> String? {
        if let count, count < 0 { return nil }
        let start = max(1, first)
        var scalars = text.unicodeScalars[...]
        guard
            let skipped = scalars.index(
                scalars.startIndex, offsetBy: Int(start - 1), limitedBy: scalars.endIndex)
        else { return "" }
        scalars = scalars[skipped...]
        guard let count else { return String(scalars) }
        // Behind the last place; beyond all of them when it is too large to tell.
        let (end, isBeyond) = first.addingReportingOverflow(count)
        if isBeyond { return String(scalars) }
        return end > start ? String(scalars.prefix(Int(clamping: end - start))) : ""
    }
}
