// "Did you mean …?": the known name nearest to one that is not known, by edit distance.

package enum NearestName {
    /// A hint that names the candidate nearest to `name`, or nil when none is near.
    ///
    /// Near is at most one edit for three letters, and never more than three; a name that differs
    /// in upper and lower case only is always near. Of several the first one wins.
    package static func hint(for name: String, among candidates: some Sequence<String>) -> String? {
        nearest(to: name, among: candidates).map { "did you mean \($0)?" }
    }

    package static func nearest(
        to name: String, among candidates: some Sequence<String>
    ) -> String? {
        let wanted = folded(name)
        guard !wanted.isEmpty, wanted.count <= maximumScalars else { return nil }
        var best: (name: String, distance: Int)?
        for candidate in candidates {
            let known = folded(candidate)
            let allowed = min(3, (max(wanted.count, known.count) + 1) / 3)
            guard abs(known.count - wanted.count) <= allowed else { continue }
            let distance = editDistance(wanted, known)
            if distance <= min(allowed, (best?.distance ?? .max) - 1) {
                best = (candidate, distance)
            }
        }
        return best?.name
    }

    /// Longer names are not compared: the distance takes time with the square of the length.
    private static let maximumScalars = 128

    private static func folded(_ name: String) -> [Unicode.Scalar] {
        name.unicodeScalars.prefix(maximumScalars + 1).map {
            ("A"..."Z").contains($0) ? Unicode.Scalar(UInt8($0.value) + 32) : $0
        }
    }

    /// Insertions, deletions, replacements and swaps of neighbours (optimal string alignment).
    private static func editDistance(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Int {
        var beforePrevious = [Int](repeating: 0, count: b.count + 1)
        var previous = Array(0...b.count)
        var current = previous
        for i in 0..<a.count {
            current[0] = i + 1
            for j in 0..<b.count {
                let replaced = previous[j] + (a[i] == b[j] ? 0 : 1)
                current[j + 1] = min(replaced, previous[j + 1] + 1, current[j] + 1)
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                    current[j + 1] = min(current[j + 1], beforePrevious[j - 1] + 1)
                }
            }
            (beforePrevious, previous, current) = (previous, current, beforePrevious)
        }
        return previous[b.count]
    }
}
