// The search for duplicates among the rows of one checkpoint.

import GradDB
import Synchronization

struct DuplicateSearch: Sendable {
    let options: DuplicateOptions
    let scope: SelectionScope
    let directory: RowDirectory
    let copier: RowCopier
    let progress: Duplicates.Progress

    private var cosines: PairCosines {
        PairCosines(scope: scope, directory: directory, copier: copier)
    }

    func run() throws -> DuplicateGroups {
        let used = directory.rows.indices.filter { directory.isUsed[$0] }
        let groups = Groups(rowCount: directory.rows.count)
        guard used.count > 1 else { return groups.value }
        let (rows, outliers) = separated(used)
        let plan = try self.plan(rows)
        let signed = try Signatures(self, rows: rows, outliers: outliers, plan: plan)
        let classes = IdenticalRows(used, signed.identities, directory)
        try connect(classes, groups)
        if let plan {
            try joinBands(plan, signed, classes, groups)
            let rest = outliers.filter { classes.size(of: $0) > 0 }
            try scanPairs(of: rest, classes, groups)
        } else {
            try scanPairs(of: classes.representatives, classes, groups)
        }
        return groups.value
    }

    /// Shared by threads that connect rows.
    private final class Groups: Sendable {
        private let groups: Mutex<DuplicateGroups>

        init(rowCount: Int) { groups = Mutex(DuplicateGroups(rowCount: rowCount)) }

        var value: DuplicateGroups { groups.withLock { $0 } }

        func connect(_ pair: PairCosines.Scored, count: Int) {
            groups.withLock {
                $0.connect(pair.first, pair.second, cosine: pair.cosine, count: count)
            }
        }
    }

    // MARK: plan

    /// Codecs of few levels make of a row another, longer one, whose angles hashing sees. Rows of
    /// which it is much longer than of the others are few, if any: they are compared with all.
    private func separated(_ used: [Int]) -> (rows: [Int], outliers: [Int]) {
        let mostOutliers = min(256, used.count / 10)
        let stretches = used.map { directory.stretches[$0] }.sorted(by: >)
        let limit = stretches[mostOutliers]
        guard let longest = stretches.first, longest > 1.05 * limit else { return (used, []) }
        return (
            used.filter { directory.stretches[$0] <= limit },
            used.filter { directory.stretches[$0] > limit }
        )
    }

    /// Nil where all pairs are better compared by scans.
    private func plan(_ rows: [Int]) throws -> BandPlan? {
        let stretch = Double(rows.map { directory.stretches[$0] }.max() ?? 1)
        guard
            let plan = BandPlan.best(
                rows: rows.count, cosine: options.above / stretch, recall: options.recall,
                try agreement(rows))
        else { return nil }
        let dims = Double(scope.columns.reduce(0) { $0 + $1.layer.dims })
        let scanSeconds = Double(rows.count) * Double(rows.count) * dims / 2e10
        return plan.seconds < scanSeconds ? plan : nil
    }

    /// How alike pairs of rows are, by a sample of them.
    private func agreement(_ rows: [Int]) throws -> BandPlan.Agreement {
        let hashing = try SignHashing(bits: 1024, columns: scope.columns, seed: 1)
        let scratch = SignHashing.Scratch(hashing)
        let count = min(512, rows.count)
        let sample = (0..<count).map { rows[$0 * rows.count / count] }
        let signatures = try directory.copies(of: sample, copier, scope).enumerated().map {
            number, row in
            var signature = [UInt64](repeating: 0, count: hashing.words)
            signature.withUnsafeMutableBufferPointer {
                hashing.write(
                    row.index, of: row.columns,
                    norm: directory.squaredNorms[sample[number]].squareRoot(), scratch, into: $0)
            }
            return signature
        }
        var agreement = BandPlan.Agreement(bits: hashing.bits)
        for i in signatures.indices {
            for j in 0..<i {
                let distance = zip(signatures[i], signatures[j])
                    .reduce(0) { $0 + ($1.0 ^ $1.1).nonzeroBitCount }
                // Rows that are stored alike are compared once.
                if distance > 0 { agreement.pairs[distance] += 1 }
            }
        }
        return agreement
    }

    // MARK: pairs

    /// Rows that are stored alike are pairs, whatever rounding makes of their cosine.
    private func connect(_ classes: IdenticalRows, _ groups: Groups) throws {
        let pairs = classes.repeated.map { BandJoin.Pair(first: $0[0], second: $0[1]) }
        try cosines.forEach(pairs) { pair in
            guard let rows = classes.rows(like: pair.first) else { return }
            groups.connect(pair, count: rows.count * (rows.count - 1) / 2)
            for row in rows.dropFirst(2) {
                var other = pair
                other.second = row
                groups.connect(other, count: 0)
            }
        }
    }

    private func joinBands(
        _ plan: BandPlan, _ signed: Signatures, _ classes: IdenticalRows, _ groups: Groups
    ) throws {
        let join = BandJoin(
            plan: plan, signatures: signed.memory, words: signed.words, rows: signed.rows,
            isKept: signed.rows.map { classes.size(of: $0) > 0 })
        let cosines = self.cosines
        let above = options.above
        let waiting = Mutex<[BandJoin.Pair]>([])
        @Sendable func score(_ pairs: [BandJoin.Pair]) throws {
            try cosines.forEach(pairs) { pair in
                guard pair.cosine >= above else { return }
                groups.connect(
                    pair, count: classes.size(of: pair.first) * classes.size(of: pair.second))
            }
        }
        try join.forEachRun(
            threads: scope.threads, scope.cancellation,
            progress: { progress("comparing", $0) },
            body: { pairs in
                // Whoever brings the last ones scores them all; the others wait, or find more.
                try waiting.withLock { waiting in
                    waiting += pairs
                    guard waiting.count >= 1 << 20 else { return }
                    try score(waiting)
                    waiting.removeAll(keepingCapacity: true)
                }
            })
        try score(waiting.withLock { $0 })
    }

    /// Compares rows with all others.
    private func scanPairs(
        of rows: [Int], _ classes: IdenticalRows, _ groups: Groups
    ) throws {
        let above = options.above
        try cosines.forEachOther(
            of: rows, among: directory.rows.indices.map { classes.size(of: $0) > 0 }, least: above,
            progress: { progress("comparing", $0) },
            body: { pair in
                groups.connect(
                    pair, count: classes.size(of: pair.first) * classes.size(of: pair.second))
            })
    }
}

/// One pass over all vectors: what bands compare, and what tells rows that are stored alike.
struct Signatures: Sendable {
    let rows: [Int]
    let memory: LargeMemory
    /// Of one signature; 0 without a plan.
    let words: Int
    /// By ordinal: a hash of the row's bytes.
    let identities: [UInt64]

    init(_ search: DuplicateSearch, rows: [Int], outliers: [Int], plan: BandPlan?) throws {
        let hashing = try plan.map {
            try SignHashing(bits: $0.bits, columns: search.scope.columns, seed: 2)
        }
        let words = hashing?.words ?? 0
        let memory = try LargeMemory(words: words * rows.count)
        let directory = search.directory
        var slots = [Int](repeating: -1, count: directory.rows.count)
        for (slot, row) in rows.enumerated() { slots[row] = slot }
        let kernels = try KernelSet.chosen()
        let done = Atomic<Int>(0)
        let identities = try Parallel.map(
            directory.units.count, threads: search.scope.threads
        ) { [slots] unit in
            try search.scope.cancellation.check()
            let start = directory.starts[unit]
            let ordinals = (start..<directory.starts[unit + 1])
            let used = ordinals.filter { directory.isUsed[$0] }
            let columns = try search.copier.copy(directory.units[unit], used.map { $0 - start })
            let scratch = hashing.map(SignHashing.Scratch.init)
            var identities = [UInt64](repeating: 0, count: ordinals.count)
            for (index, ordinal) in used.enumerated() {
                identities[ordinal - start] = Self.identity(index, columns, kernels)
                guard let hashing, let scratch, slots[ordinal] >= 0 else { continue }
                let first = slots[ordinal] * words
                hashing.write(
                    index, of: columns, norm: directory.squaredNorms[ordinal].squareRoot(),
                    scratch,
                    into: UnsafeMutableBufferPointer(
                        rebasing: memory.words[first..<first + words]))
                if index % 64 == 63 { try search.scope.cancellation.check() }
            }
            let count = done.wrappingAdd(1, ordering: .relaxed).newValue
            search.progress("reading", Double(count) / Double(directory.units.count))
            return identities
        }
        self.rows = rows
        self.memory = memory
        self.words = words
        self.identities = Array(identities.joined())
    }

    private static func identity(
        _ index: Int, _ columns: [EncodedRows], _ kernels: KernelSet
    ) -> UInt64 {
        columns.reduce(0) { identity, rows in
            let hash = rows.withRow(index) { kernels.hash($0) }
            let scale = UInt64(rows.statistics[index].scale.bitPattern)
            return SplitMix64.mix(SplitMix64.mix(identity ^ hash) &+ scale)
        }
    }
}

/// Rows of the same bytes: one of them stands for all.
struct IdenticalRows: Sendable {
    /// Rows that are stored alike, ascending.
    let repeated: [[Int]]
    /// By ordinal: how many rows it stands for; 0 for those that another one stands for.
    private var sizes: [Int]
    private let positions: [Int: Int]

    /// - Parameter used: ordinals, ascending.
    init(_ used: [Int], _ identities: [UInt64], _ directory: RowDirectory) {
        // The norm, too: by chance no two rows agree in both.
        func key(_ row: Int) -> (UInt64, UInt64) {
            (identities[row], directory.squaredNorms[row].bitPattern)
        }
        var sizes = [Int](repeating: 0, count: directory.rows.count)
        var repeated: [[Int]] = []
        let sorted = used.sorted {
            let (a, b) = (key($0), key($1))
            return a == b ? $0 < $1 : a < b
        }
        var start = 0
        while start < sorted.count {
            var end = start + 1
            while end < sorted.count, key(sorted[end]) == key(sorted[start]) { end += 1 }
            sizes[sorted[start]] = end - start
            if end - start > 1 { repeated.append(Array(sorted[start..<end])) }
            start = end
        }
        self.sizes = sizes
        self.repeated = repeated
        positions = Dictionary(
            uniqueKeysWithValues: repeated.enumerated().map { ($1[0], $0) })
    }

    func size(of row: Int) -> Int { sizes[row] }

    /// Rows that stand for themselves and those like them.
    var representatives: [Int] { sizes.indices.filter { sizes[$0] > 0 } }

    /// The rows that one stands for, itself first; nil where it stands for itself alone.
    func rows(like row: Int) -> [Int]? { positions[row].map { repeated[$0] } }
}
