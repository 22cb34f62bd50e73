// Groups of rows that pairs connect: a forest of disjoint sets (Tarjan, JACM 1975), and of each set
// the lowest and highest cosine of its pairs.

package struct DuplicateGroups: Sendable {
    package struct Cosines: Sendable {
        package var lowest: Double
        package var highest: Double

        mutating func merge(_ other: Cosines) {
            lowest = min(lowest, other.lowest)
            highest = max(highest, other.highest)
        }
    }

    private var parents: [Int]
    /// By root.
    private var cosines: [Int: Cosines] = [:]
    package private(set) var pairs = 0

    package init(rowCount: Int) { parents = Array(0..<rowCount) }

    /// Connects two rows by a pair, which stands for `count` pairs.
    package mutating func connect(_ first: Int, _ second: Int, cosine: Double, count: Int) {
        pairs += count
        let (a, b) = (root(first), root(second))
        var all = Cosines(lowest: cosine, highest: cosine)
        for root in [a, b] { if let known = cosines.removeValue(forKey: root) { all.merge(known) } }
        parents[max(a, b)] = min(a, b)
        cosines[min(a, b)] = all
    }

    private mutating func root(_ row: Int) -> Int {
        var row = row
        while parents[row] != row {
            parents[row] = parents[parents[row]]
            row = parents[row]
        }
        return row
    }

    /// The rows of each group, ascending, with its cosines.
    package mutating func groups() -> [(rows: [Int], cosines: Cosines)] {
        var rows: [Int: [Int]] = [:]
        for row in parents.indices {
            let root = root(row)
            if cosines[root] != nil { rows[root, default: []].append(row) }
        }
        return rows.sorted { $0.key < $1.key }.compactMap { root, rows in
            cosines[root].map { (rows, $0) }
        }
    }
}
