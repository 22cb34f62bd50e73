// A question about one string. It is asked once for each entry of a column's dictionary.

package enum StringTest: Equatable, Sendable {
    case comparison(ComparisonOperator, String)
    /// The strings in the order of their bytes.
    case membership([String])
    case like(LikePattern)

    package func holds(for string: String) -> Bool {
        switch self {
        case .comparison(let comparison, let constant):
            comparison.holds(for: StringOrder.compare(string, constant))
        case .membership(let sorted): Self.contains(string, in: sorted)
        case .like(let pattern): pattern.matches(string)
        }
    }

    private static func contains(_ string: String, in sorted: [String]) -> Bool {
        var low = 0
        var high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            let order = StringOrder.compare(sorted[middle], string)
            if order == 0 { return true }
            if order < 0 { low = middle + 1 } else { high = middle }
        }
        return false
    }
}
