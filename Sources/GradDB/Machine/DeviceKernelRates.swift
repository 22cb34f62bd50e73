// How fast a device scores what lies in its memory, by codec and number of queries, as it was measured
// at a few numbers of queries.

/// Stored bytes per second of each codec that a batch of queries is scored against.
package struct DeviceKernelRates: Codable, Equatable, Sendable {
    /// By codec's name, and number of queries.
    private var gigabytes: [String: [Int: Double]] = [:]

    package init() {}

    /// GB/s of stored bytes; nil where it was not measured.
    package subscript(codec: CodecKind, queries queries: Int) -> Double? {
        get { gigabytes[codec.rawValue]?[queries] }
        set { gigabytes[codec.rawValue, default: [:]][queries] = newValue }
    }

    /// Seconds for each byte: between two numbers of queries that were measured on the line between
    /// them, below the least as that one, beyond the most in proportion.
    ///
    /// - Returns: nil where nothing of the codec was measured.
    package func secondsPerByte(_ codec: CodecKind, queries: Int) -> Double? {
        let points = (gigabytes[codec.rawValue] ?? [:]).filter { $0.key > 0 && $0.value > 0 }
            .map { (queries: Double($0.key), seconds: 1 / ($0.value * 1e9)) }
            .sorted { $0.queries < $1.queries }
        guard let first = points.first, let last = points.last else { return nil }
        let wanted = Double(queries)
        if wanted <= first.queries { return first.seconds }
        if wanted >= last.queries { return last.seconds * wanted / last.queries }
        guard let above = points.firstIndex(where: { $0.queries >= wanted }) else { return nil }
        let (low, high) = (points[above - 1], points[above])
        let share = (wanted - low.queries) / (high.queries - low.queries)
        return low.seconds + share * (high.seconds - low.seconds)
    }

    /// Two devices beside each other: what both were measured at.
    package static func + (left: Self, right: Self) -> Self {
        var sum = Self()
        for (codec, rates) in left.gigabytes {
            for (queries, rate) in rates {
                guard let other = right.gigabytes[codec]?[queries] else { continue }
                sum.gigabytes[codec, default: [:]][queries] = rate + other
            }
        }
        return sum
    }
}
