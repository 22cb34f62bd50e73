// Exact cosines of pairs of rows, as codecs.md defines them: of each pair one row is the query, as it
// is stored.

import GradDB

struct PairCosines: Sendable {
    let scope: SelectionScope
    let directory: RowDirectory
    let copier: RowCopier

    struct Scored: Sendable {
        var first: Int
        var second: Int
        var cosine: Double
    }

    /// What queries may take at a time.
    private static let queryBytes = 128 << 20

    /// Encoded queries that fit into it.
    private var mostQueries: Int {
        // As they are stored, and up to six times as much in the form of kernels.
        let dims = scope.columns.reduce(0) { $0 + $1.layer.dims }
        return max(1, min(4096, Self.queryBytes / max(1, 8 * dims)))
    }

    /// Queries that are worth a pass over all rows.
    private var queriesPerPass: Int { min(mostQueries, 256) }

    /// Calls `body` with each pair's cosine, from any thread.
    func forEach(
        _ pairs: [BandJoin.Pair], _ body: @escaping @Sendable (Scored) -> Void
    ) throws {
        let pairs = pairs.sorted()
        var start = 0
        while start < pairs.count {
            var queries: [Int] = []
            var end = start
            while end < pairs.count {
                if queries.last != pairs[end].first {
                    if queries.count == mostQueries { break }
                    queries.append(pairs[end].first)
                }
                end += 1
            }
            try score(pairs[start..<end], queries, body)
            start = end
        }
    }

    private func score(
        _ pairs: ArraySlice<BandJoin.Pair>, _ queries: [Int],
        _ body: @escaping @Sendable (Scored) -> Void
    ) throws {
        let directory = self.directory
        var wanted: [Int: [Int]] = [:]
        var number = 0
        for pair in pairs {
            if queries[number] != pair.first { number += 1 }
            wanted[pair.second, default: []].append(number)
        }
        let places = wanted.map { ordinal, queries in
            let place = directory.place(ordinal)
            return RowPlace(unit: place.unit, index: place.index, queries: queries)
        }
        let scan = try Scan(scope.request(try self.queries(queries), filter: nil))
        let norms = queries.map { directory.squaredNorms[$0].squareRoot() }
        _ = try scan.run(rows: places) { _, scores in
            let norm = scores.squaredNorm.squareRoot()
            let second = directory.starts[scores.place.unit] + scores.place.index
            for (query, dot) in zip(scores.place.queries, scores.dots) {
                body(
                    Scored(
                        first: queries[query], second: second,
                        cosine: dot / (norm * norms[query])))
            }
        }
    }

    /// Calls `body` with the cosine of each of `ordinals` and every other row that counts, each pair
    /// once, from any thread.
    func forEachOther(
        of ordinals: [Int], among isOther: [Bool], least: Double,
        progress: (_ share: Double) -> Void, body: @escaping @Sendable (Scored) -> Void
    ) throws {
        let asked = Set(ordinals)
        let filter = directory.filter(scope.view)
        for first in stride(from: 0, to: ordinals.count, by: queriesPerPass) {
            let queries = Array(ordinals[first..<min(ordinals.count, first + queriesPerPass)])
            let directory = self.directory
            let norms = queries.map { directory.squaredNorms[$0].squareRoot() }
            let scan = try Scan(scope.request(try self.queries(queries), filter: filter))
            _ = try scan.run { _, scores in
                let start = directory.starts[scores.unit]
                let rowCount = scores.rows.count
                for index in 0..<rowCount where isOther[start + index] {
                    let norm = scores.squaredNorms[index].squareRoot()
                    for (number, query) in queries.enumerated() {
                        let cosine =
                            scores.dots[number * rowCount + index] / (norm * norms[number])
                        guard cosine >= least, start + index != query,
                            start + index > query || !asked.contains(start + index)
                        else { continue }
                        body(Scored(first: query, second: start + index, cosine: cosine))
                    }
                }
            }
            progress(Double(first + queries.count) / Double(ordinals.count))
        }
    }

    private func queries(_ ordinals: [Int]) throws -> [[EncodedQuery]] {
        try directory.copies(of: ordinals, copier, scope).map(\.query)
    }
}
